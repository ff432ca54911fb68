"""NVIDIA's TensorRT and TensorRT for RTX: one Python API in two libraries.

TensorRT (on a Jetson part of JetPack) builds an engine on the GPU that it runs on. TensorRT for RTX builds ahead of
time, without a GPU, for any RTX one, and finishes when the engine is loaded there.
"""
