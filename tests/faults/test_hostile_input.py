"""Input that is made to kill is refused with its reason, in a process that may not take much memory."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
LIMIT_MB = 3_000
"""Of address space, most of it the libraries': the feed took 12,000 MB of memory."""


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_a_process_with_little_memory_refuses_what_would_kill_it_and_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.support.hostile_input_process", str(tmp_path), str(LIMIT_MB)]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    answer, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()[-2_000:]
    told = json.loads(answer.splitlines()[-1])
    status, message = told["feed"]
    assert status == "failed"
    assert "nested in more than 64 levels" in message
    assert told["text"] == ["completed", 1]
    assert told["body"] == [422, "urn:nutmeg:problem:json-bounds"]
    assert "nested in more than 64 levels" in told["file"]
    assert told["after"] == ["completed", 200]
