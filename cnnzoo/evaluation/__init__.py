"""How good a trained model is: scores, intervals and tests, calibration, speed, Grad-CAM."""
