"""Training of lcx_fast models: outlines in, one self-describing .onnx file out."""
