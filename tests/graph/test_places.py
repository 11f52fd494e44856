"""Short names that may be ordinary words: what their place says, and what a tree uses them for."""

from __future__ import annotations

import pytest

from auditor.graph.places import Uses, among_hosts, called_so, count_uses, in_places, in_shares, of_containers

WANTED = {"gluck": "gluck.example.org"}


def lines(text: str, path: str = "site.conf", word: str = "gluck") -> list[int]:
    found = list(in_places(text, path, {word: f"{word}.example.org"}))
    assert all(one.identity.host == f"{word}.example.org" and not one.exact for one in found)
    return [one.line for one in found]


@pytest.mark.parametrize(
    "line",
    [
        "if $::hostname == 'gluck' {",
        "if $::hostname in [kassia,gluck,klecker] {",
        "if $::hostname =~ /^(gluck|kassia)$/ {",
        "restrict = true if %w{gluck}.include?(@hostname)",
        'networking.hostName = "gluck";',
        '[ "$(hostname -s)" = gluck ] && exit',
        '  option host-name "gluck";',
        "when: inventory_hostname_short == 'gluck'",
        "hostname gluck",
        "host gluck {",
        'object Host "gluck" {',
        "rsync -a build/ deploy@gluck:/srv/www/",
        "ssh -p 2222 gluck uptime",
        'echo | ssh root@gluck "reboot"',
        "curl http://gluck:8080/health",
        'targets = [ "gluck:9100" "kassia:9100" ];',
        "gluck:/srv/home /home nfs defaults 0 0",
        "    10.0.40.3 gluck",
        "2001:db8::7 db.example.net gluck",
        "ansible-playbook site.yml --limit gluck",
        "nixosConfigurations.gluck = lib.nixosSystem {",
        "key = [ machines.kassia machines.gluck ];",
        'address = hostvars["gluck"].address',
        "hosts: gluck",
        "excludehosts: kassia, gluck, klecker",
        'PGHOST = "gluck";',
        "  server => 'gluck',",
        "    (ADDRESS = (PROTOCOL = TCP)(HOST = gluck)(PORT = 1521))",
        "conninfo = host=gluck user=barman dbname=postgres",
        ' "database.hostname": "gluck", "database.port": "5432"}}',
        '<Target Server="gluck" Folder="projects"/>',
        "Servername = gluck",
        r"net use P: \\gluck\projects",
        "//gluck/backup /mnt cifs ro 0 0",
        'schtasks /run /s gluck /tn "Index"',
        "Invoke-Command -ComputerName gluck -ScriptBlock { x }",
        "Send-MailMessage -SmtpServer gluck -To a@example.net",
        "wmic /node:gluck os get caption",
        '  - "gluck.{{ domain }}"',
        'rspamc -h "gluck.$DOMAIN:11334"',
        'url = "https://gluck.${timezone_domain}/"',
    ],
)
def test_places_of_machines(line: str) -> None:
    assert lines(line) == [1]


@pytest.mark.parametrize(
    "line",
    [
        "gluck and merkel",
        "the hostname, gluck said, is fine",
        "uses: actions/setup@gluck",
        "npm install @gluck/core",
        "FROM gluck:2024",
        "image: gluck:2024",
        "gluck: 2024",
        "gluck.io:443",
        "http://gluck.io/",
        "ssh gluck.other.org",
        "include host gluck here",
        "ssh old-gluck",
        "root@gluck-old",
        "10.0.40.3 old-gluck",
        "title: gluck",
        "hosts: gluckstadt",
        "hosts.gluck-x = 1",
        "localhost:/gluck",
        "user = gluck",
        "of the host: gluck was first",
        "(HOST = gluckstadt)",
        "// gluck/x",
        "xcopy /s gluck d:",
        "pg_dump app > gluck.$(date +%F).sql",
        "mv gluck.sql gluck.${TODAY_DATE}",
        "gzip gluck.$EXT",
        "gluck.%d",
        "case $name in",
    ],
)
def test_other_places(line: str) -> None:
    assert not lines(line)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("case $::hostname {\n\tmaster,gluck: {\n\t\tx\n\t}\n\tgluck: { y }\n}\ngluck: {\n", [2, 5]),
        ("case $(hostname -s) in\ngluck|kassia) echo ;;\n*) echo gluck ;;\nesac\ngluck)\n", [2]),
        ("case $hostname in\n  x) case $hostname in\n    gluck) y ;;\n  esac ;;\nesac\ngluck)\n", [3]),
        ("$x = $::hostname ? {\n  'gluck' => 'a',\n  default => 'gluck',\n}\n", [2]),
        ("case $::kind {\n  gluck: { y }\n}\n", []),
        ("services:\n  gluck:\n    image: x\n  web:\n    environment:\n      URL: http://gluck:8080/\n", []),
        ("services:\n  web:\n    environment:\n      URL: http://gluck:8080/\n", [4]),
    ],
)
def test_places_of_several_lines(text: str, found: list[int]) -> None:
    assert lines(text) == found


def test_a_word_with_a_number_is_found_in_capitals() -> None:
    text = '\\\\FS1\\files\nServer="FS1"\n\\\\FS10\\files\nFS1 in rack 2\n'
    assert lines(text, word="fs1") == [1, 2]


def test_in_code_a_value_is_quoted() -> None:
    assert lines("host = gluck\nserver = gluck()\n", "run.py") == []
    assert lines('host: "gluck",\n', "run.js") == [1]


def test_what_branches_and_roles_are_called_too() -> None:
    assert lines("host: master\nuse x@master\nssh master\nif $::hostname == 'master' {\n", word="master") == [4]


def used(*texts: str) -> Uses:
    uses = Uses("gluck.example.org")
    for number, text in enumerate(texts):
        path = f"{number}.txt"
        count_uses(text, path, "gluck", uses, set(), {one.line for one in in_places(text, path, WANTED)})
    return uses


def test_a_word_that_hardly_anything_else_is_called() -> None:
    uses = used("ssh gluck\nroot@gluck:/x\nThe database is on gluck.\n", "10.0.0.1 gluck\n./machines/gluck\ngluck_pull")
    assert uses.is_name()
    assert uses.plain == {
        "0.txt": [(3, "The database is on gluck.")],
        "1.txt": [(2, "./machines/gluck"), (3, "gluck_pull")],
    }


def test_names_of_other_machines_are_no_doubt() -> None:
    uses = Uses("gluck.example.org")
    count_uses("dev-gluck and old-gluck\nA gluck\n", "x.md", "gluck", uses, set(), set(), {"dev-gluck", "old-gluck"})
    assert (uses.vague, uses.plain) == (1, {})


def test_of_a_common_word_no_more_is_kept() -> None:
    uses = Uses("gluck.example.org", {(str(number), 1) for number in range(20_000)})
    count_uses("gluck\n" * 20_000, "x.md", "gluck", uses, set(), set())
    assert not uses.plain
    assert not uses.is_name()


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("hieradata/nodes/gluck.yaml", True),
        ("hosts/gluck/default.nix", True),
        ("host_vars/gluck", True),
        ("nodes/gluck.example.org.yaml", False),
        ("nodes/old-gluck.yaml", False),
        ("roles/gluck/tasks/main.yml", False),
    ],
)
def test_paths_among_those_of_hosts(path: str, found: bool) -> None:
    at = among_hosts({"gluck", "kassia"}).search(path)
    assert (at[1] if at else "") == ("gluck" if found else "")


def test_paths_that_are_called_so() -> None:
    assert called_so({"gluck"}).search("roles/gluck/tasks/main.yml")
    assert not called_so({"gluck"}).search("roles/gluck-tools/main.yml")
    assert not called_so(()).search("roles/gluck/tasks/main.yml")


@pytest.mark.parametrize(
    "texts",
    [
        ("ssh gluck\nssh gluck\nssh gluck\n",),
        ("ssh gluck\n", "ssh gluck\n"),
        ("ssh gluck\nssh gluck\n", "ssh gluck\nthe gluck\nGluck\ngluck-tools\ngluck.js"),
    ],
    ids=["one file", "two lines", "as much else"],
)
def test_a_word_that_may_be_anything(texts: tuple[str, ...]) -> None:
    assert not used(*texts).is_name()


def test_each_machine_of_a_share_or_url_in_one_line() -> None:
    found = in_shares("http://cache:3128 \\\\files\\public http://cache/", {"cache": "a", "files": "b", "proxy": "c"})
    assert [one.identity.host for one in found] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "containers"),
    [
        ("apiVersion: v1\nkind: ConfigMap\ndata:\n  url: http://cache:80\n", True),
        ('{"apiVersion": "apps/v1", "kind": "Deployment", "url": "http://cache:80"}', True),
        ("services:\n  cache:\n    image: x\n  app:\n    environment: [http://cache:80]\n", True),
        ("apiVersion: 1\ndatasources:\n  - url: http://cache:80\n", False),
        ("apiVersion: v1\nkind: Config\nclusters:\n  - cluster: {server: https://cache:6443}\n", False),
    ],
    ids=["manifest", "json", "compose", "grafana", "kubeconfig"],
)
def test_files_about_containers(text: str, containers: bool) -> None:
    assert of_containers(text, "cache") is containers
    assert bool(list(in_shares(text, {"cache": "cache.example.net"}))) is not containers
