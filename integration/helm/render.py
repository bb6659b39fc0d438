"""Renders the chart in the directory of the first argument, once for each job of standard input.

A job is {"name", "namespace", "values"}; the answer, in the same order, {"manifests"} or {"error"}. No cluster
is reached.
"""

import json
import sys

from helm_python import Chart
from helm_python.errors import HelmError


def objects(rendered):
    """The manifests in the order of their templates, one document after the other."""
    for path, text in sorted(rendered.items()):
        if path.endswith("NOTES.txt") or not text.strip():
            continue
        for document in ("\n" + text).split("\n---\n"):
            lines = (line.rstrip() for line in document.strip("\n").split("\n"))
            if document.strip():
                yield "---\n" + "\n".join(lines) + "\n"


def answer(chart, job):
    try:
        chart.validate_schema(job["values"])
        rendered = chart.render(job["values"], name=job["name"], namespace=job["namespace"])
    except HelmError as error:
        return {"error": str(error)}
    notes = [text for path, text in rendered.items() if path.endswith("NOTES.txt")]
    return {"manifests": "".join(objects(rendered)), "notes": "".join(notes)}


with Chart.load(sys.argv[1]) as chart:
    jobs = json.load(sys.stdin)
    json.dump([answer(chart, job) for job in jobs], sys.stdout)
