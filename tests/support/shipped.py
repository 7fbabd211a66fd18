"""What is shipped, read without running it: files, the variables that they read, what they log."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

# Set by the platform, never by us.
PLATFORM = {"FUNCTION_TARGET", "CLOUD_RUN_TIMEOUT_SECONDS", "K_SERVICE", "K_REVISION"}


def shipped() -> list[str]:
    """Return the allow-list of terraform/functions.tf, as paths from the repository's root."""
    return [
        "main.py",
        "requirements.txt",
        *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "sync").rglob("*.py")),
    ]


@functools.cache
def code() -> dict[str, ast.Module]:
    """Return every shipped module, parsed, by its path."""
    return {
        name: ast.parse((ROOT / name).read_text()) for name in shipped() if name.endswith(".py")
    }


@functools.cache
def known_variables() -> set[str]:
    """Return every variable that sync/config.py reads: names in capitals, as texts."""
    texts = {
        node.value for node in ast.walk(code()["sync/config.py"]) if isinstance(node, ast.Constant)
    }
    return {
        text
        for text in texts
        if isinstance(text, str) and re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+", text)
    }


@functools.cache
def targets_of_main() -> set[str]:
    """Return the functions of main.py that functions-framework can serve."""
    return {
        node.name
        for node in code()["main.py"].body
        if isinstance(node, ast.FunctionDef)
        and any(
            ast.unparse(decorator) == "functions_framework.http"
            for decorator in node.decorator_list
        )
    }


@functools.cache
def logged_messages() -> set[str]:
    """Return every constant message that the code logs."""
    return {
        argument.value
        for tree in code().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value) == "_logger"
        # `log` takes the level first.
        for argument in node.args[:2]
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }
