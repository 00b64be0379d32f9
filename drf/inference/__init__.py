"""Trained models in use: faces are found in photos, cut and predicted, by torch or ONNX."""
