"""The configuration of a run, from a file, the environment, the command line or a program."""

from stan_edge.config.run_config import RunConfig

__all__ = ["RunConfig"]
