"""From-scratch CNNs for image classification, one tf.data pipeline, and an honest comparison."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnnzoo.data.audit.examine import audit_manifest
    from cnnzoo.data.audit.findings import Audit
    from cnnzoo.data.augment import Augmentation
    from cnnzoo.data.manifest import build_manifest
    from cnnzoo.data.pipeline import load_datasets
    from cnnzoo.deploy.classifier import Classifier, adapt, load_model, predict, save_model
    from cnnzoo.deploy.photograph import CrackMap, crack_map
    from cnnzoo.deploy.suggesting import suggest
    from cnnzoo.errors import InputError
    from cnnzoo.evaluation.calibration import Decision
    from cnnzoo.evaluation.explain import grad_cam
    from cnnzoo.evaluation.scores import Scores, evaluate
    from cnnzoo.models.catalogue import create_model, list_models, model_info
    from cnnzoo.models.registry import register_model
    from cnnzoo.training.config import Phase, TrainConfig
    from cnnzoo.training.fit import FitResult, fit
    from cnnzoo.training.progress import Progress
    from cnnzoo.training.search import search_space

__version__ = "0.1.0"

_HOMES = {
    "InputError": "cnnzoo.errors",
    "create_model": "cnnzoo.models.catalogue",
    "list_models": "cnnzoo.models.catalogue",
    "model_info": "cnnzoo.models.catalogue",
    "register_model": "cnnzoo.models.registry",
    "load_datasets": "cnnzoo.data.pipeline",
    "Augmentation": "cnnzoo.data.augment",
    "FitResult": "cnnzoo.training.fit",
    "Phase": "cnnzoo.training.config",
    "Progress": "cnnzoo.training.progress",
    "TrainConfig": "cnnzoo.training.config",
    "fit": "cnnzoo.training.fit",
    "Scores": "cnnzoo.evaluation.scores",
    "evaluate": "cnnzoo.evaluation.scores",
    "grad_cam": "cnnzoo.evaluation.explain",
    "Classifier": "cnnzoo.deploy.classifier",
    "Decision": "cnnzoo.evaluation.calibration",
    "adapt": "cnnzoo.deploy.classifier",
    "Audit": "cnnzoo.data.audit.findings",
    "audit_manifest": "cnnzoo.data.audit.examine",
    "build_manifest": "cnnzoo.data.manifest",
    "load_model": "cnnzoo.deploy.classifier",
    "predict": "cnnzoo.deploy.classifier",
    "save_model": "cnnzoo.deploy.classifier",
    "search_space": "cnnzoo.training.search",
    "suggest": "cnnzoo.deploy.suggesting",
    "CrackMap": "cnnzoo.deploy.photograph",
    "crack_map": "cnnzoo.deploy.photograph",
}

__all__ = [
    "Audit",
    "Augmentation",
    "Classifier",
    "CrackMap",
    "Decision",
    "FitResult",
    "InputError",
    "Phase",
    "Progress",
    "Scores",
    "TrainConfig",
    "adapt",
    "audit_manifest",
    "build_manifest",
    "crack_map",
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
    "suggest",
]


def __getattr__(name: str) -> Any:
    """Imports the module behind a public name on first use, so that `import cnnzoo` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'cnnzoo' has no attribute {name!r}")
    try:
        found = getattr(import_module(_HOMES[name]), name)
    except Exception:
        # Keras says no more than that a module is missing, or that its configuration is odd.
        from cnnzoo.backend import check_backend

        check_backend()
        raise
    if "keras" in sys.modules:
        from cnnzoo.backend import use_own_settings

        use_own_settings()
    return found


def __dir__() -> list[str]:
    return __all__
