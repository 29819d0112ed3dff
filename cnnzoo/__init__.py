"""From-scratch CNNs for image classification, one tf.data pipeline, and an honest comparison."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnnzoo.calibration import Decision
    from cnnzoo.config import Phase, Progress, TrainConfig
    from cnnzoo.data.audit import Audit, audit_manifest
    from cnnzoo.data.augment import Augmentation
    from cnnzoo.data.manifest import build_manifest
    from cnnzoo.data.pipeline import load_datasets
    from cnnzoo.errors import InputError
    from cnnzoo.evaluation import Scores, evaluate
    from cnnzoo.explain import grad_cam
    from cnnzoo.prediction import Classifier, load_model, predict, save_model
    from cnnzoo.registry import create_model, list_models, model_info, register_model
    from cnnzoo.search import search_space
    from cnnzoo.training import FitResult, fit

__version__ = "0.1.0"

_HOMES = {
    "InputError": "cnnzoo.errors",
    "create_model": "cnnzoo.registry",
    "list_models": "cnnzoo.registry",
    "model_info": "cnnzoo.registry",
    "register_model": "cnnzoo.registry",
    "load_datasets": "cnnzoo.data.pipeline",
    "Augmentation": "cnnzoo.data.augment",
    "FitResult": "cnnzoo.training",
    "Phase": "cnnzoo.config",
    "Progress": "cnnzoo.config",
    "TrainConfig": "cnnzoo.config",
    "fit": "cnnzoo.training",
    "Scores": "cnnzoo.evaluation",
    "evaluate": "cnnzoo.evaluation",
    "grad_cam": "cnnzoo.explain",
    "Classifier": "cnnzoo.prediction",
    "Decision": "cnnzoo.calibration",
    "Audit": "cnnzoo.data.audit",
    "audit_manifest": "cnnzoo.data.audit",
    "build_manifest": "cnnzoo.data.manifest",
    "load_model": "cnnzoo.prediction",
    "predict": "cnnzoo.prediction",
    "save_model": "cnnzoo.prediction",
    "search_space": "cnnzoo.search",
}

__all__ = [
    "Audit",
    "Augmentation",
    "Classifier",
    "Decision",
    "FitResult",
    "InputError",
    "Phase",
    "Progress",
    "Scores",
    "TrainConfig",
    "audit_manifest",
    "build_manifest",
    "create_model",
    "evaluate",
    "fit",
    "grad_cam",
    "list_models",
    "load_datasets",
    "load_model",
    "model_info",
    "predict",
    "register_model",
    "save_model",
    "search_space",
]


def __getattr__(name: str) -> Any:
    """Imports the module behind a public name on first use, so that `import cnnzoo` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'cnnzoo' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
