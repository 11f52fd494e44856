"""Windows over OpenSSH: answers as PowerShell gives them, recorded by hand; no Windows machine took part."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.api import Dependency, Document
from auditor.capture.program import FrameError
from auditor.capture.windows import HOSTS_FILE, TASKS, command, items, script
from auditor.registry import load_collectors

NONCE = "0123456789abcdef" * 2
TASK = (
    '<?xml version="1.0" encoding="UTF-16"?>\r\n'
    '<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">\r\n'
    "  <Triggers><CalendarTrigger><StartBoundary>2026-01-01T03:00:00</StartBoundary>"
    "<ScheduleByDay><DaysInterval>1</DaysInterval></ScheduleByDay></CalendarTrigger></Triggers>\r\n"
    '  <Actions><Exec><Command>robocopy</Command><Arguments>D:\\certs "\\\\legacy-cert-01\\certs$" /MIR</Arguments>'
    "</Exec></Actions>\r\n</Task>"
)
TOLD: dict[str, Any] = {
    "admin": True,
    "node": "WIN-APP-01",
    "listed": True,
    "hosts": "10.20.4.17 legacy-cert-01\r\n",
    "tasks": [
        {"path": "\\Eventide\\Copy certs", "xml": TASK, "state": "Ready", "last": "2026-11-23T03:00:01Z", "result": 0},
        {"path": "\\Microsoft\\Windows\\Closed", "xml": None, "state": "Ready"},
        {"path": "\\..\\..\\outside", "xml": TASK},
    ],
}


def answer(told: Any, *, end: bool = True, banner: str = "") -> bytes:
    """As PowerShell writes it: lines of 4,000 characters, with carriage returns."""
    text = base64.b64encode(json.dumps(told).encode()).decode()
    lines = [text[at : at + 4000] for at in range(0, len(text), 4000)]
    written = "\r\n".join([f"{NONCE} BEGIN", *lines, *([f"{NONCE} END"] if end else []), ""])
    return (banner + written).encode()


def test_tasks_are_files_that_the_collector_reads() -> None:
    found = list(items(answer(TOLD, banner="Microsoft Windows [Version 10.0]\r\n"), NONCE))
    assert [(item.kind, item.name) for item in found] == [
        ("FILE", HOSTS_FILE),
        ("FILE", f"{TASKS}/Eventide/Copy certs"),
        ("DENIED", f"{TASKS}/Microsoft/Windows/Closed"),
        ("OUT", "windows-tasks.json"),
        ("SEEN", TASKS),
    ]
    tasks = next(one for one in load_collectors()[0] if one.name == "windows_tasks")
    task = found[1]
    assert tasks.recognizes(task.name, task.content[:4096])
    facts = list(tasks.parse(Document(task.name, task.content)))
    assert any(isinstance(one, Dependency) and one.provider.text == "legacy-cert-01" for one in facts)


def test_one_task_is_no_list_and_no_administrator_sees_all() -> None:
    """ConvertTo-Json makes an object of a list of one."""
    found = list(items(answer({**TOLD, "admin": False, "tasks": TOLD["tasks"][0]}), NONCE))
    assert ("FILE", f"{TASKS}/Eventide/Copy certs") in [(item.kind, item.name) for item in found]
    assert found[-1].kind == "LIMITED"
    assert b"administrator" in found[-1].content


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"'powershell' is not recognized as an internal or external command", "did not answer to the end"),
        (answer(TOLD, end=False), "did not answer to the end"),
        (answer({**TOLD, "listed": False}), "has no Get-ScheduledTask"),
        (f"{NONCE} BEGIN\nYWJj\n{NONCE} END".encode(), "no JSON"),
        (answer(["a", "list"]), "has no Get-ScheduledTask"),
    ],
)
def test_what_is_no_answer_is_a_gap(content: bytes, why: str) -> None:
    with pytest.raises(FrameError, match=why):
        list(items(content, NONCE))


@given(st.binary(max_size=300))
def test_any_bytes_give_items_or_an_error(content: bytes) -> None:
    for text in (content, f"{NONCE} BEGIN ".encode() + base64.b64encode(content) + f" {NONCE} END".encode()):
        try:
            list(items(text, NONCE))
        except FrameError:
            continue


def test_the_command_fits_and_changes_nothing() -> None:
    line = command(NONCE)
    assert len(line) < 8000
    assert base64.b64decode(line.rsplit(" ", 1)[1]).decode("utf-16-le") == script(NONCE)
    verbs = {word for word in script(NONCE).replace("(", " ").replace("|", " ").split() if word.count("-") == 1}
    changing = (
        "Set-",
        "New-Item",
        "Remove-",
        "Register-",
        "Unregister-",
        "Start-",
        "Stop-",
        "Enable-",
        "Disable-",
        "Out-",
    )
    assert not any(word.startswith(changing) for word in verbs)
