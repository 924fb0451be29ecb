"""Options that several commands share: what is refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from framework.cli import main


@pytest.mark.parametrize("command", ["serve", "check"])
@pytest.mark.parametrize("host", ["", " ", "\t"])
def test_a_blank_host_is_not_every_address(command: str, host: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [command, str(tmp_path), "--host", host])
    assert result.exit_code == 2
    assert "it names no address: write 127.0.0.1, or 0.0.0.0 for every address" in " ".join(
        result.output.split()
    )
