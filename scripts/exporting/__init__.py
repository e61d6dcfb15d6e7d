"""Encoder packages made of what others published: a folder with safetensors, or an ONNX file.

`bert` writes the network of a BERT-like folder operator by operator, `__main__` is the command.
"""
