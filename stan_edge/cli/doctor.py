"""`stan-edge doctor`: what works on this machine."""

from __future__ import annotations


def command() -> None:
    """Say what works on this machine, and what to install for the rest."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from stan_edge.doctor import examine

    table = Table("", "what", "found", show_header=False, box=None)
    findings = examine()
    for finding in findings:
        mark = "[green]✓[/]" if finding.works else "[bold red]✗[/]" if finding.needed else "[yellow]-[/]"
        table.add_row(mark, finding.what, Text(finding.found))
    Console().print(table, highlight=False)
    if any(finding.needed and not finding.works for finding in findings):
        from stan_edge.errors import ConfigError

        raise ConfigError("Something that `stan-edge run` needs does not work here; see the lines marked ✗.")
