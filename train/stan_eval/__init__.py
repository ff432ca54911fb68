"""How good a model is, measured on exported bundles by the code that runs live, and the numbers chosen by that."""
