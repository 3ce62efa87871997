"""Find in the definitions of a root what goes wrong in practice."""

from bound_images.lint.findings import Finding, Severity
from bound_images.lint.run import lint

__all__ = ["Finding", "Severity", "lint"]
