"""What the server computes with: onnxruntime, devices, and the files of models."""
