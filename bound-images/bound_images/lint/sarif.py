"""Findings as SARIF, which code-hosting sites show beside the lines.

Source: Static Analysis Results Interchange Format (SARIF) 2.1.0, OASIS.
"""

from __future__ import annotations

from collections.abc import Iterable

from bound_images.lint.findings import RULES, Finding

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(findings: Iterable[Finding]) -> dict[str, object]:
    """Return one run with all rules and *findings*."""
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {"name": "bound-images", "rules": [_rule(name) for name in RULES]}
                },
                "originalUriBaseIds": {"ROOT": {"description": {"text": "The linted root."}}},
                "results": [_result(finding) for finding in findings],
            }
        ],
    }


def _rule(name: str) -> dict[str, object]:
    severity, text = RULES[name]
    return {
        "id": name,
        "shortDescription": {"text": text},
        "defaultConfiguration": {"level": severity.value},
    }


def _result(finding: Finding) -> dict[str, object]:
    artifact = {"uri": finding.path.lstrip("/"), "uriBaseId": "ROOT"}
    location: dict[str, object] = {"artifactLocation": artifact}
    if finding.line:
        location["region"] = {"startLine": finding.line}
    return {
        "ruleId": finding.rule,
        "level": finding.severity.value,
        "message": {"text": finding.message},
        "locations": [{"physicalLocation": location}],
    }
