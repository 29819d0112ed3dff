"""How good a trained model is: scores, intervals and tests, calibration, speed, Grad-CAM."""

VIEWS_VERSION = 4  # of the views that `several_views` looks at: runs with others are other runs
