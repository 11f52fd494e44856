"""Windows over OpenSSH: the command that lists scheduled tasks, and its answer as items. Pure, without any I/O.

sshd runs `cmd.exe /c` in the console's code page, so the command is one word of PowerShell in base64, and the answer is
JSON in base64 between two lines with the nonce. Sources: about_PowerShell_exe, Export-ScheduledTask,
Get-ScheduledTaskInfo (ScheduledTasks module). It was tried against recorded answers only, on no Windows machine.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from auditor.capture.program import MAX_CONTENT, MAX_FILES, FrameError, Item, usable

TASKS: Final = "/Windows/System32/Tasks"
HOSTS_FILE: Final = "/Windows/System32/drivers/etc/hosts"
MAX_ANSWER: Final = 64 * 1024 * 1024
_ADMINISTRATORS: Final = "it was not asked as an administrator: tasks of others are not listed"

_SCRIPT: Final = r"""
$ProgressPreference='SilentlyContinue';$ErrorActionPreference='SilentlyContinue'
[Console]::OutputEncoding=[Text.Encoding]::UTF8
$p=New-Object Security.Principal.WindowsPrincipal([Security.Principal.WindowsIdentity]::GetCurrent())
$t=@(Get-ScheduledTask|ForEach-Object{$i=$_|Get-ScheduledTaskInfo
@{path=$_.TaskPath+$_.TaskName;state="$($_.State)"
xml=(Export-ScheduledTask -TaskName $_.TaskName -TaskPath $_.TaskPath)
last=if($i.LastRunTime){$i.LastRunTime.ToUniversalTime().ToString('s')+'Z'}
next=if($i.NextRunTime){$i.NextRunTime.ToUniversalTime().ToString('s')+'Z'};result=$i.LastTaskResult}})
$o=@{admin=$p.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator);node=$env:COMPUTERNAME
listed=[bool](Get-Command Get-ScheduledTask);tasks=$t
hosts=[IO.File]::ReadAllText("$env:SystemRoot\System32\drivers\etc\hosts")}
$b=[Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes(($o|ConvertTo-Json -Depth 4 -Compress)))
Write-Output '@BEGIN';for($n=0;$n -lt $b.Length;$n+=4000){$b.Substring($n,[Math]::Min(4000,$b.Length-$n))}
Write-Output '@END'
"""


def script(nonce: str) -> str:
    """The whole PowerShell that runs."""
    return _SCRIPT.strip().replace("@BEGIN", f"{nonce} BEGIN").replace("@END", f"{nonce} END")


def command(nonce: str) -> str:
    """One line for cmd.exe, which takes up to 8,191 characters."""
    encoded = base64.b64encode(script(nonce).encode("utf-16-le")).decode()
    return f"powershell -NoProfile -NonInteractive -OutputFormat Text -EncodedCommand {encoded}"


def items(answer: bytes, nonce: str) -> Iterator[Item]:
    """What an answer holds. Raises FrameError if it is none, or not all of one."""
    found = re.search(rb"%s BEGIN\s+([A-Za-z0-9+/=\s]*?)\s*%s END" % (nonce.encode(), nonce.encode()), answer)
    if found is None:
        raise FrameError("its PowerShell did not answer to the end")
    try:
        told = json.loads(base64.b64decode(b"".join(found[1].split()), validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise FrameError("its PowerShell answered what is no JSON") from error
    if not isinstance(told, dict) or not told.get("listed"):
        raise FrameError("it has no Get-ScheduledTask (Windows before 8 and Server 2012)")
    if isinstance(text := told.get("hosts"), str):
        yield Item("FILE", HOSTS_FILE, text.encode("utf-8", "replace"))
    tasks = told.get("tasks")
    yield from _tasks([tasks] if isinstance(tasks, dict) else tasks if isinstance(tasks, list) else [])
    if told.get("admin") is not True:
        yield Item("LIMITED", TASKS, _ADMINISTRATORS.encode())
    else:
        yield Item("SEEN", TASKS)


def _tasks(tasks: list[Any]) -> Iterator[Item]:
    runs = []
    for task in tasks[:MAX_FILES]:
        name = task.get("path") if isinstance(task, dict) else None
        if not isinstance(name, str):
            continue
        path = TASKS + "/" + name.replace("\\", "/").strip("/")
        if not usable(path):
            continue
        xml = task.get("xml")
        if isinstance(xml, str) and xml.strip():
            yield Item("FILE", path, xml.encode("utf-8", "replace")[:MAX_CONTENT])
        else:
            yield Item("DENIED", path)
        runs.append({key: task.get(key) for key in ("path", "state", "last", "next", "result")})
    if len(tasks) > MAX_FILES:
        yield Item("FULL", TASKS)
    yield Item("OUT", "windows-tasks.json", json.dumps(runs, indent=1).encode())
