"""How good a model is, measured on exported bundles by the runtime's own code. Nothing here imports torch."""
