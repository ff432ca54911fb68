"""The paper's baselines: frame features of ResNet-50, and small networks over time."""
