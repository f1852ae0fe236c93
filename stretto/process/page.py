"""The page that a process shows at `/`: its state as a person reads it, without script, renewed every few seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

RENEW_S = 2

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{renew}">
<title>{name}: {word}</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
body {{ max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.3rem; }}
.ready, .waiting {{ padding: .5rem .8rem; border-left: .4rem solid; }}
.ready {{ border-color: #2a8a4a; }}
.waiting {{ border-color: #c43d2c; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #8884; vertical-align: top; }}
th {{ font-weight: 500; white-space: nowrap; }}
td {{ font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }}
</style>
</head>
<body>
<h1>Stretto {name}</h1>
<p class="{look}" role="status"><strong>{word}</strong>: {why}</p>
<table>
<caption hidden>Status</caption>
{rows}</table>
<p>For programs: <a href="/metrics">/metrics</a> <a href="/status">/status</a> <a href="/readyz">/readyz</a>
<a href="/livez">/livez</a></p>
</body>
</html>
"""


def render(name: str, status: Mapping[str, object], ready: tuple[bool, str]) -> str:
    """The whole page. `status` is what /status answers, `ready` what /readyz does."""
    good, why = ready
    rows = "".join(
        f'<tr><th scope="row">{escape(key)}</th><td>{escape(value)}</td></tr>\n' for key, value in flat(status)
    )
    return _PAGE.format(
        renew=RENEW_S,
        name=escape(name),
        word="ready" if good else "not ready",
        look="ready" if good else "waiting",
        why=escape(why),
        rows=rows,
    )


def flat(tree: Mapping[str, object], above: str = "") -> Iterator[tuple[str, str]]:
    """Names and values of a tree, one below another: `lag` with `wal` in it is `lag wal`."""
    for key, value in tree.items():
        name = f"{above} {key}".strip().replace("_", " ")
        if isinstance(value, Mapping):
            yield from flat(value, name)
        elif isinstance(value, list):
            yield name, ", ".join(map(str, value)) or "none"
        else:
            yield name, _text(value)


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
