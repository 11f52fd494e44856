"""Real sshds on loopback, each with its own directory, keys and configuration, and a root of planted files.

sshd(8), ssh-keygen(1) of OpenSSH 9.2 and later.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.programs import PATIENCE, free_port, listens, need, running

ME = pwd.getpwuid(os.geteuid()).pw_name
PLANTED = {
    "etc/hostname": "legacy-cert-01\n",
    "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "etc/hosts": "127.0.0.1 localhost\n10.20.4.17 legacy-cert-01.eventide.net legacy-cert-01\n",
    "etc/resolv.conf": "search eventide.net\nnameserver 10.20.0.53\n",
    "etc/fstab": "/dev/sda1 / ext4 ro 0 1\n",
    "etc/crontab": "17 3 * * * root /opt/renew.sh\n",
    "etc/cron.d/sync": "*/5 * * * * root rsync -a /srv/certs/ db07.eventide.net:/srv/certs/\n",
    "etc/letsencrypt/renewal/eventide.conf": (
        "cert = /etc/letsencrypt/live/eventide/cert.pem\nprivkey = /etc/letsencrypt/live/eventide/privkey.pem\n"
        "chain = /etc/letsencrypt/live/eventide/chain.pem\nfullchain = /etc/letsencrypt/live/eventide/fullchain.pem\n"
        "[renewalparams]\nauthenticator = webroot\n"
        "renew_hook = /opt/hooks/deploy.sh\n"
    ),
    "etc/sudoers": "root ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n",
    "etc/sudoers.d/renewal": "Host_Alias CERTS = legacy-cert-01, cert-02\ndeploy CERTS = (root) /opt/renew.sh\n",
    "home/deploy/.ssh/authorized_keys": (
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGWqD3PaDuXpVyTqJLbnQwIDrtHCRr1Zu7PXUVm2bH0x jobs@build-07\n"
    ),
    "home/deploy/.config/systemd/user/pull.timer": "[Timer]\nOnCalendar=hourly\n",
    "home/deploy/.config/systemd/user/pull.service": "[Service]\nExecStart=curl http://10.20.4.17/pull\n",
    "etc/passwd": "root:x:0:0::/root:/bin/sh\njobs:x:998:998::/var/lib/jobs:/usr/sbin/nologin\n",
    "var/lib/jobs/.ssh/authorized_keys": (
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGWqD3PaDuXpVyTqJLbnQwIDrtHCRr1Zu7PXUVm2bH0x root@legacy-cert-01\n"
    ),
    "etc/auto.home": "* -fstype=nfs files-01.eventide.net:/home/&\n",
    "etc/borgmatic/config.yaml": "repositories:\n  - path: ssh://borg@backup-01.eventide.net/./repo\n",
    "etc/postgresql/15/main/pg_hba.conf": "host all all 10.20.4.17/32 scram-sha-256\n",
    "etc/systemd/journal-upload.conf": "[Upload]\nURL=https://logs.eventide.net\n",
    "var/lib/jobs/.local/share/systemd/user/report.timer": "[Timer]\nOnCalendar=weekly\n",
    "run/systemd/system/e2scrub_all.timer.d/often.conf": "[Timer]\nOnCalendar=hourly\n",
    "run/user/998/systemd/transient/run-r1.timer": "[Timer]\nOnCalendar=daily\n",
    "opt/renew.sh": "#!/bin/sh\ncertbot renew --quiet\n. /opt/lib/common.sh\n",
    "opt/lib/common.sh": "curl -s https://hooks.eventide.net/renewed\n",
    "opt/hooks/deploy.sh": "#!/bin/sh\ncurl -u deploy:hunter2000 https://acme-hook.eventide.net/renewed\n",
}


def keygen(*arguments: str | Path) -> None:
    subprocess.run([need("ssh-keygen", "openssh-client"), "-q", *arguments], check=True, timeout=PATIENCE)


@dataclass
class Sshd:
    """A running server."""

    directory: Path
    port: int

    @property
    def key(self) -> str:
        """Its public host key: kind and base64."""
        return " ".join((self.directory / "host.pub").read_text().split()[:2])

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()


class Bench:
    """One directory of keys and sshds, and a configuration of the client that knows only them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.running = ExitStack()
        self.made = False
        keygen("-t", "ed25519", "-N", "", "-f", directory / "id")
        keygen("-t", "ed25519", "-N", "", "-f", directory / "other")
        self.known = directory / "known_hosts"

    def root(self, *, sudo: str = "") -> tuple[Path, str]:
        """A root of planted files with busybox for programs, and the command that enters it."""
        busybox = need("busybox", "busybox-static")
        place = self.directory / f"root{len(list(self.directory.glob('root*')))}"
        for name, text in PLANTED.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text)
            # Whatever the umask is, on a host all may read these.
            (place / name).chmod(0o644)
        for name in ("bin", "dev", "proc", "usr/bin", "etc/systemd/system", "var/spool/cron"):
            (place / name).mkdir(parents=True, exist_ok=True)
        (place / "dev/null").write_text("")
        (place / "dev/null").chmod(0o666)
        shutil.copy2(busybox, place / "bin/busybox")
        applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
        for name in applets:
            if name != "busybox":
                (place / "bin" / name).symlink_to("busybox")
        if sudo:
            (place / "usr/bin/sudo").write_text(sudo)
            (place / "usr/bin/sudo").chmod(0o755)
        for directory in (place, *place.rglob("*")):
            if directory.is_dir():
                directory.chmod(0o755)
        chroot = need("chroot", "coreutils")
        if os.geteuid() != 0:
            unshare = need("unshare", "util-linux")
            if subprocess.run([unshare, "-r", "true"], capture_output=True, check=False).returncode:
                pytest.skip("needs root, or namespaces of users, to enter a root of planted files")
            return place, f"{unshare} -r {chroot} {place}"
        return place, f"{chroot} {place}"

    def start(
        self, name: str, *lines: str, force: str = "", prepare: Callable[[Path], None] = lambda key: None
    ) -> Sshd:
        """An sshd that takes the key `id`, unless these lines say otherwise (the first of a keyword wins).

        `prepare` is given the host's private key before sshd starts.
        """
        sshd = need("sshd", "openssh-server")
        inside: list[str] = []
        if os.geteuid() == 0 and not Path("/run/sshd").is_dir():
            # The service makes it when it starts (sshd(8), FILES). Here in a mount of its own, which nobody else sees.
            inside = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs x /run && mkdir -m 755 /run/sshd && exec "$@"', "sh"]
            if shutil.which("unshare") is None or subprocess.run([*inside, "true"], capture_output=True).returncode:
                # A container of CI has no services, and perhaps no mounts.
                if not os.environ.get("CI"):
                    pytest.skip("sshd as root needs the directory /run/sshd, which its service makes when it starts")
                inside = []
                Path("/run/sshd").mkdir(mode=0o755)
                self.made = True
        place = self.directory / name
        place.mkdir()
        keygen("-t", "ed25519", "-N", "", "-f", place / "host")
        prepare(place / "host")
        port = free_port()
        configuration = [
            *lines,
            f"ListenAddress 127.0.0.1:{port}",
            f"HostKey {place}/host",
            f"PidFile {place}/pid",
            f"AuthorizedKeysFile {self.directory}/id.pub",
            "PermitRootLogin yes",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "StrictModes no",
            "UsePAM no",
            "LogLevel VERBOSE",
        ]
        if force:
            configuration.append(f'ForceCommand {force} /bin/sh -c "$SSH_ORIGINAL_COMMAND"')
        (place / "sshd_config").write_text("\n".join(configuration) + "\n")
        command = [*inside, sshd, "-D", "-e", "-f", str(place / "sshd_config")]
        self.running.enter_context(running(command, place / "log", lambda: listens(port)))
        return Sshd(place, port)

    def stop(self) -> None:
        self.running.close()
        if self.made:
            Path("/run/sshd").rmdir()

    def knows(self, *lines: str) -> None:
        self.known.write_text("".join(f"{line}\n" for line in lines))


@contextmanager
def agent(directory: Path) -> Iterator[tuple[Path, Callable[[Path], None]]]:
    """A running ssh-agent(1): its socket, and what adds a private key to it."""
    place = directory / "agent"

    def ask(*words: str | Path) -> int:
        """The exit code of ssh-add(1): 2 without an agent, 1 if it has no keys or refuses one."""
        command = [need("ssh-add", "openssh-client"), *words]
        environment = {"SSH_AUTH_SOCK": str(place), "PATH": os.defpath}
        done = subprocess.run(command, env=environment, check=False, timeout=PATIENCE, capture_output=True)
        return done.returncode

    def add(key: Path) -> None:
        assert ask("-q", key) == 0

    command = [need("ssh-agent", "openssh-client"), "-D", "-a", place]
    with running(command, directory / "agent.log", lambda: ask("-l") != 2):
        yield place, add
