# Reads what the auditor looks at and prints it in frames. Writes no file, changes nothing, starts no daemon.
# Before this text stand N (the nonce), CAP (bytes of one file), FILES (how many), DEADLINE (seconds) and WANT (second
# rounds: the paths that the first named, one a line). POSIX shell only; see sh(1p). Every name is quoted; nothing that
# is read is run.

say() { k=$((k + 1)); printf '\n%s.%s %s\n' "$N" "$k" "$1"; }
put() { printf '%s' "$1"; }
# In these shells printf is a program, and the nonce would stand in `ps`.
case ${KSH_VERSION-} in
?*)
    say() { k=$((k + 1)); print -nr -- "$nl$N.$k $1$nl"; }
    put() { print -nr -- "$1"; }
    ;;
esac

# Whether a path is on a network mount. Nothing there is touched: a dead file server would hang this program.
away() {
    case $mounts in '') return 1 ;; esac
    IFS=$nl
    set -f
    for point in $mounts; do
        case $1/ in
        $point/*) IFS=$blank; set +f; return 0 ;;
        esac
    done
    IFS=$blank
    set +f
    return 1
}

# Without a process for each line; a mount point with escapes (\040) is cut there, and matches all that begins so.
find_mounts() {
    mounts= mountinfo=
    [ -r /proc/self/mountinfo ] && mountinfo=$(head -c "$CAP" /proc/self/mountinfo)
    if [ -n "$mountinfo" ]; then
        IFS=$nl
        set -f
        for line in $mountinfo; do
            case $line in
            *' - nfs'* | *' - cifs '* | *' - smb'* | *' - autofs '* | *' - fuse.'* | *' - 9p '* | *' - afs '* | \
                *' - ceph '* | *' - glusterfs '* | *' - lustre '* | *' - gfs'* | *' - ocfs2 '* | *' - beegfs '* | \
                *' - coda '* | *' - ncp'* | *' - gpfs '* | *' - davfs'* | *' - virtiofs '*)
                point=${line#* * * * }
                point=${point%% *}
                case $point in
                *'\'*) point=${point%%\\*}* ;;
                esac
                mounts=$mounts${mounts:+$nl}$point
                ;;
            esac
        done
        IFS=$blank
        set +f
    else
        mounts=$(limit 5 mount | sed -n -e 's/^.* on \(.*\) (nfs.*$/\1/p' -e 's/^.* on \(.*\) (smbfs.*$/\1/p' \
            -e 's/^.* on \(.*\) (afpfs.*$/\1/p' -e 's/^.* on \(.*\) (webdav.*$/\1/p' -e 's/^.* on \(.*\) (autofs.*$/\1/p' \
            -e 's/^.* on \(.*\) (fuse.*$/\1/p' -e 's/^.* on \(.*\) (macfuse.*$/\1/p' -e 's/^.* on \(.*\) type nfs.*$/\1/p')
    fi
}

# A path without `.` and `..`, by its letters only, in $out.
normal() {
    rest=$1/ out=
    while [ -n "$rest" ]; do
        part=${rest%%/*} rest=${rest#*/}
        case $part in
        '' | .) ;;
        ..) out=${out%/*} ;;
        *) out=$out/$part ;;
        esac
    done
}

# Whether every directory on the way is local, links followed one by one before anything behind them is touched.
reachable() {
    case $mounts in '') return 0 ;; esac
    hops=0 left=${1#/} at=
    while [ -n "$left" ]; do
        part=${left%%/*}
        case $left in */*) left=${left#*/} ;; *) left= ;; esac
        away "$at/$part" && return 1
        if [ -L "$at/$part" ]; then
            hops=$((hops + 1))
            [ "$hops" -gt 16 ] && return 1
            target=$(readlink "$at/$part") || return 1
            case $target in /*) ;; *) target=$at/$target ;; esac
            normal "$target${left:+/$left}"
            left=${out#/} at=
        else
            at=$at/$part
        fi
    done
    return 0
}

# A name with control characters can't be told, and one that any user may make must not end the reading.
odd() {
    case $1 in
    *[[:cntrl:]]*) ;;
    *) return 1 ;;
    esac
    case ${1%/*} in
    *[[:cntrl:]]*) say "NOTE ODD /?" ;;
    *) say "NOTE ODD ${1%/*}/?" ;;
    esac
}

# Whether a directory can be listed.
listable() {
    if ! reachable "$1"; then
        [ -z "$told" ] || say "NOTE REMOTE $1"
    elif [ ! -d "$1" ]; then
        [ -z "$told" ] || [ -e "$1" ] || missing "$1"
    elif [ -r "$1" ] && [ -x "$1" ]; then
        return 0
    else
        [ -z "$told" ] || secret "$1/" || say "NOTE DENIED $1"
    fi
    return 1
}

# The names that fit a pattern, in $names. Step by step, as no glob may go through a link, or to a mount, where looking
# would hang. With $told set, a directory that was left out is told.
fit() {
    names=$nl steps=${1#/}
    while [ -n "$steps" ]; do
        step=${steps%%/*}
        case $steps in */*) steps=${steps#*/} ;; *) steps= ;; esac
        IFS=$nl
        set -f
        set -- $names
        set +f
        IFS=$blank
        [ "$#" -gt 0 ] || set -- ''
        names=
        for base do
            case $step in
            *[*]*) ;;
            *) [ -z "$steps" ] || { names=$names$base/$step$nl; continue; } ;;
            esac
            listable "$base" || continue
            for f in "$base"/$step; do
                case $f in *[[:cntrl:]]*) [ -z "$told" ] || odd "$f"; continue ;; esac
                if [ "${#names}" -ge 100000 ]; then
                    [ -z "$told" ] || say "NOTE FULL $f"
                    break
                fi
                if ! away "$f" && [ -L "$f" ]; then
                    [ "$unlinked" = 1 ] && [ -z "$steps" ] || names=$names$f$nl
                elif ! reachable "$f"; then
                    [ -z "$told" ] || say "NOTE REMOTE $f"
                elif [ -e "$f" ]; then
                    names=$names$f$nl
                fi
            done
        done
        [ -n "$names" ] || return
    done
}

# What is not there, or may only look so: below a directory that can't be searched nothing is known.
missing() {
    up=$1
    while :; do
        up=${up%/*}
        [ -z "$up" ] && break
        if [ -d "$up" ]; then
            [ -x "$up" ] || { say "NOTE DENIED $1"; return; }
            break
        fi
    done
    [ -n "$quiet" ] || say "NOTE ABSENT $1"
}

# Private keys and password stores are not opened, whoever names them.
secret() {
    case $1 in
    *privkey* | *private_key* | *.key | *-key.pem | *_key.pem | */key.pem | *.private | */private/* | */passwd.client | */sasl_passwd* | */sasl_password* | */userlist.txt | */chrony.keys | *rndc.key* | */ssl-cert-snakeoil.key | */id_rsa* | */id_ed25519* | \
        */id_ecdsa* | */id_dsa* | */ssh_host_*_key | */shadow | */shadow- | */gshadow* | */master.passwd | */.netrc | */.pgpass | \
        */.my.cnf | */.aws/credentials | *.keytab | *.ppk | *.secrets | */chap-secrets | */pap-secrets | *smbcredentials | *.p12 | *.pfx | *.jks | *.kdbx | */.gnupg/* | */random_seed | \
        */.vault-token | */.docker/config.json | /proc/[0-9]*/environ | /dev/* | /sys/kernel/*) return 0 ;;
    esac
    return 1
}

# One file: it is sent with others, or why it is not seen is told.
grab() {
    odd "$1" && return
    case $seen in
    *"$nl$1$nl"*) return ;;
    esac
    seen=$seen$1$nl
    secret "$1" && return
    if away "$1"; then
        say "NOTE REMOTE $1"
    elif [ -L "$1" ]; then
        links=$links$1$nl
    elif [ ! -f "$1" ]; then
        [ -e "$1" ] || missing "$1"
    elif [ ! -r "$1" ]; then
        say "NOTE DENIED $1"
    elif [ "$files" -ge "$FILES" ]; then
        [ -n "$full" ] || say "NOTE FULL $1"
        full=1
    else
        files=$((files + 1)) waiting=$((waiting + 1))
        batch=$batch$1$nl
        [ "$waiting" -lt 250 ] || send
    fi
}

# Many files by one awk. A line of theirs that begins with + gets another, so that no content can look like the line that
# begins a file (+/) or ends it: `+.` whole, `+-` whole without a newline at its end, `+b` machine code, `+?` not as long
# as ls says (NUL bytes, or written to meanwhile). The last, long ones (1) and what is too much for once (2) are told to
# the shell, which asks for them again. An awk that ends lines at NUL bytes (busybox) is of no use.
reader='
function finish() {
    if (name == "") return
    mark = binary ? "b" : n == size ? "." : n == size + 1 ? "-" : "?"
    if (mark == "?") again = again "1" name "\n"
    print "+" mark
    delete kept[name]
    name = ""
}
BEGIN {
    if (sprintf("%c", 0) == "") {
        look = "printf \"a\\000b\\n\""
        while ((look | getline) == 1) if (1 < ++found) exit 4
        close(look)
    }
    lines = split(ENVIRON["LISTED"], line, "\n")
    for (i = 1; i <= lines; i++) {
        split(line[i], word, " ")
        if (line[i] ~ /^-/) sizes[substr(line[i], index(line[i], " /") + 1)] = word[5] + 0
    }
    for (i = 1; i < ARGC; i++) {
        f = ARGV[i]
        if (!(f in sizes) || cap < sizes[f]) again = again "1" f "\n"
        else if (2 * cap < (all += sizes[f])) again = again "2" f "\n"
        else { kept[f]; continue }
        ARGV[i] = ""
    }
}
FNR == 1 {
    finish()
    name = FILENAME; size = sizes[name]; n = 0; hidden = 0
    public = name ~ /\.(pem|crt|cer)$/
    binary = elf && substr($0, 2, 3) == "ELF"
    print "+" name
}
{
    n += length($0) + 1
    if (size + 1 < n || binary) next
    if (public) {
        if (hidden) {
            if (/END [A-Z ]*PRIVATE KEY/) hidden = 0
            next
        }
        if (hidden = /BEGIN [A-Z ]*PRIVATE KEY/) next
    }
    if (/^\+/) print "+" $0
    else print
}
END {
    if (1 < found) exit 4
    finish()
    for (f in kept) if (sizes[f]) again = again "1" f "\n"; else print "+" f "\n+."
    if (again == "") exit 0
    printf "%s", again | "cat 1>&2"
    close("cat 1>&2")
    exit 3
}'

send() {
    while [ "$waiting" -gt 0 ]; do
        IFS=$nl
        set -f
        set -- $batch
        batch= waiting=0 alone= together=
        for one do
            # As it may have become another since.
            if [ "$awk" ] && [ -f "$one" ] && [ ! -L "$one" ]; then
                together=$together$one$nl
            else
                alone=$alone$one$nl
            fi
        done
        [ -z "$together" ] || several $together
        IFS=$nl
        set -f
        for one in $alone; do single "$one"; done
        set +f
        IFS=$blank
    done
}

several() {
    IFS=$blank
    set +f
    say "BEGIN FILES $#"
    listed=$(ls -lnd "$@")
    # Lines may be as long as files are, and files may grow: not without an end.
    again=$(ulimit -v 1048576; LISTED=$listed awk -v cap="$CAP" -v elf="$elf" "$reader" "$@" 2>&1 >&4; echo "=$?")
    say "END 0"
    case $again in
    =0) return ;;
    *"$nl=3") ;;
    *)
        # Then the next ones, too, are better asked for one by one.
        [ "$again" = =4 ] && awk=
        for one do alone=$alone$one$nl; done
        return
        ;;
    esac
    IFS=$nl
    set -f
    for one in $again; do
        case $one in
        1/*) alone=$alone${one#1}$nl ;;
        2/*) batch=$batch${one#2}$nl waiting=$((waiting + 1)) ;;
        esac
    done
    set +f
    IFS=$blank
}

single() {
    IFS=$blank
    set +f
    if [ -L "$1" ] || [ ! -f "$1" ]; then
        [ -e "$1" ] && say "NOTE DENIED $1" || missing "$1"
        return
    fi
    case $elf in
    1)
        case $(head -c 4 <"$1" | tr -d '\000') in
        ?ELF*) say "NOTE BINARY $1"; return ;;
        esac
        ;;
    esac
    say "BEGIN FILE $1"
    case $1 in
    *.pem | *.crt | *.cer)
        head -c "$CAP" <"$1" | sed '/BEGIN [A-Z ]*PRIVATE KEY/,/END [A-Z ]*PRIVATE KEY/d'
        ;;
    *) head -c "$CAP" <"$1" ;;
    esac
    say "END $?"
}

# The links that were found, and those that they lead to; then the files that wait.
settle() {
    deep=0
    while [ -n "$links" ]; do
        deep=$((deep + 1))
        IFS=$nl
        set -f
        set -- $links
        set +f
        IFS=$blank
        links=
        while [ "$#" -gt 200 ]; do
            some= count=0
            while [ "$count" -lt 200 ]; do some=$some$1$nl count=$((count + 1)); shift; done
            follow_some "$some"
        done
        some=
        for one do some=$some$one$nl; done
        follow_some "$some"
    done
    send
}

# By one ls: `lrwxrwxrwx 1 0 0 SIZE Jan 1 00:00 /name -> target`. A target may hold anything, even a newline and what
# looks like the line of another link, but then it is not as long as ls says. If anything is odd, one after the other.
follow_some() {
    IFS=$nl
    set -f
    set -- $1
    found=$(ls -lnd "$@")
    left=$# odd=
    for line in $found; do
        IFS=$blank
        size_of $line
        one=${line#* /} left=$((left - 1))
        target=${one#*' -> '} one=/${one%%' -> '*}
        case $line in
        *\?* | [!l]*) odd=1 ;;
        esac
        [ "$size" = "${#target}" ] && [ -L "$one" ] || odd=1
    done
    set +f
    if [ "$left$odd" = 0 ]; then
        IFS=$nl
        set -f
        for line in $found; do
            set +f
            IFS=$blank
            one=${line#* /}
            target=${one#*' -> '} one=/${one%%' -> '*}
            follow "$one" "$target"
        done
    else
        IFS=$blank
        for one do
            if target=$(readlink "$one"); then follow "$one" "$target"; else say "NOTE DENIED $one"; fi
        done
    fi
    set +f
    IFS=$blank
}
size_of() { size=${5-}; }

follow() {
    case $2 in
    *"$nl"*) return ;;
    /*) normal "$2" ;;
    *) normal "${1%/*}/$2" ;;
    esac
    case $merged$out in
    1/lib/* | 1/bin/* | 1/sbin/*) out=/usr$out ;;
    esac
    say "BEGIN LINK $1"
    put "$out"
    say "END 0"
    leads=$out
    case $leads in
    /dev/null | "$1") return ;;
    esac
    if [ "$deep" -gt 8 ]; then
        :
    elif reachable "$leads"; then
        # What a link leads to belongs to the place only if it is a file: a directory has a place of its own.
        [ -d "$leads" ] || grab "$leads"
    else
        say "NOTE REMOTE $1"
    fi
}

# --- Only for a first round, up to the next line like this.

wanted() {
    case $mode in
    all) return 0 ;;
    certificates)
        case $1 in *.pem | *.crt | *.cer | *.der | */README | *.conf | *.json | *.cfg | */config | *.txt) return 0 ;; esac
        return 1
        ;;
    configuration)
        case $1 in
        *.so | *.db | *.sqlite* | *.gz | *.xz | *.zst | *.bz2 | *.zip | *.jar | *.png | *.rrd | *.wav | *.log | *.pid | *.sock | \
            *.mmdb | *.dat | *~ | *.swp) return 1 ;;
        esac
        ;;
    esac
    return 0
}

# The files below a directory that is there and can be read.
tree() {
    for f in "$1"/* "$1"/.[!.]*; do
        odd "$f" && continue
        if away "$f"; then
            say "NOTE REMOTE $f"
        elif [ -L "$f" ]; then
            grab "$f"
        elif [ -d "$f" ]; then
            case ${f##*/} in .git | .svn) continue ;; esac
            if [ ! -r "$f" ] || [ ! -x "$f" ]; then
                secret "$f/" || say "NOTE DENIED $f"
            elif [ "$level" -lt 6 ]; then
                level=$((level + 1))
                tree "$f"
                level=$((level - 1))
            else
                say "NOTE DEEP $f"
            fi
        elif [ -e "$f" ]; then
            wanted "$f" && grab "$f"
        fi
    done
}

# A place that is a file or a directory; $mode says which files of a directory.
place() {
    if ! reachable "$1"; then
        say "NOTE REMOTE $1"
    elif [ -d "$1" ]; then
        if [ -r "$1" ] && [ -x "$1" ]; then
            say "NOTE SEEN $1"
            tree "$1"
        else
            say "NOTE DENIED $1"
        fi
    else
        grab "$1"
    fi
}

# Places that most machines don't have: that they are not there needs no word.
perhaps() {
    quiet=1
    for p do
        # Most are not there: that is seen at once.
        if reachable "$p" && [ ! -e "$p" ] && [ ! -L "$p" ]; then missing "$p"; else place "$p"; fi
    done
    quiet=
}
places() { for p do place "$p"; done; }

# The files that fit a pattern, with links only if asked for: those in /etc/ssl/certs, and the bundles, are the public
# authorities of the distribution.
files_of() {
    [ -n "${2-}" ] || unlinked=1
    fit "$1"
    unlinked=
    IFS=$nl
    set -f
    for f in $names; do
        set +f
        IFS=$blank
        case $f in */ca-certificates.crt | */ca-bundle* | */cert.pem) continue ;; esac
        if [ -L "$f" ] || [ -f "$f" ]; then grab "$f"; fi
    done
    set +f
    IFS=$blank
}

home() {
    if ! reachable "$1"; then
        say "NOTE REMOTE $1"
    elif [ -d "$1" ] && [ ! -x "$1" ]; then
        say "NOTE DENIED $1/.ssh/authorized_keys"
        say "NOTE DENIED $1/.config/systemd/user"
    elif [ -d "$1" ]; then
        for f in .ssh/authorized_keys .ssh/authorized_keys2 .config/systemd/user .local/share/systemd/user; do
            if ! reachable "$1/${f%%/*}"; then
                say "NOTE REMOTE $1/$f"
            elif [ -d "$1/${f%%/*}" ]; then
                place "$1/$f"
            fi
        done
    else
        missing "$1"
    fi
}

# What a command prints, under a name. Status 124: it took too long.
output() {
    name=$1
    shift
    command -v "$2" >/dev/null || return 1
    say "BEGIN OUT $name"
    status=$({ { limit "$@" 3>&- 4>&-; echo $? >&3; } | head -c "$CAP" >&4; } 3>&1)
    say "END ${status:-1}"
}

# Mode, owner, group, size, change (seconds since 1970) and name: GNU and busybox, then BSD.
states() { stat -c '%a %u %g %s %Y %n' "$@" || stat -f '%Lp %u %g %z %m %N' "$@"; }
listing() {
    there=
    set -f
    set -- '/etc/cron.hourly/*' '/etc/cron.daily/*' '/etc/cron.weekly/*' '/etc/cron.monthly/*' '/etc/cron.yearly/*' \
        '/etc/cron.d/*' '/etc/periodic/*/*' '/etc/letsencrypt/renewal-hooks/*/*' '/etc/letsencrypt/archive/*/cert*' \
        '/var/spool/anacron/*' '/var/lib/systemd/timers/stamp-*' '/var/spool/cron/crontabs/*' '/var/spool/cron/*' \
        '/root/.acme.sh/*/*.cer'
    set +f
    for pattern do
        fit "$pattern"
        there=$there$names
        [ "${#there}" -lt 100000 ] || break
    done
    IFS=$nl
    set -f
    [ -z "$there" ] || states $there
    set +f
    IFS=$blank
}

identity() {
    # Kernel, node, release, machine: always in this order.
    set -- $(uname -snrm)
    echo "uid=$uid"
    echo "system=${1-} ${3-} ${4-}"
    echo "node=${2-}"
    echo "name=$(limit 3 hostname -f)"
    echo "time=${now% *}"
    echo "zone=${now#* }"
}

# The last start (and end, by cronie) of each job that cron's log holds: other lines are not of interest. The journal is
# read from its end: where that takes too long, the newest lines are there. Journals of before 2018 have no --grep.
cron_log() {
    for f in /var/log/cron /var/log/cron.log /var/log/syslog /var/log/messages; do
        reachable "$f" && [ -f "$f" ] && [ -r "$f" ] && tail -c 4194304 <"$f"
    done
    [ -d /run/log/journal ] || [ -d /var/log/journal ] || return
    echo '-- newest first --'
    of_cron --grep '\) CMD'
    # 0 and what a time limit gives are no failures.
    case $? in 0 | 124 | 137 | 143) ;; *) of_cron ;; esac
}
of_cron() {
    limit 10 journalctl --quiet --no-pager --utc --output short-iso --reverse --lines 5000 "$@" \
        -t CRON -t CROND -t crond -t cron
}
last_of_each() {
    awk -v cap="$CAP" '/^-- newest first --$/ { back = 1 }
    { at = index($0, ") CMD"); if (at) { from = at; while (from != 1 && substr($0, from, 1) != "(") from--
        job = substr($0, from); if (!(job in seen)) last[job] = $0; if (back) seen[job] = 1 } }
    END { for (job in last) if ((n += length(last[job]) + 1) < cap) print last[job] }'
}

# Whether devices can't be written, and what ext4 remembers of errors: statvfs does not say so.
devices() {
    count=0
    for d in /sys/class/block/*; do
        count=$((count + 1))
        [ "$count" -lt 5000 ] || return
        { read -r number <"$d/dev" && read -r only <"$d/ro"; } 2>/dev/null && echo "block ${d##*/} $number ro=$only"
    done
    for d in /sys/fs/ext4/*; do
        { read -r errors <"$d/errors_count" && read -r last <"$d/last_error_time"; } 2>/dev/null &&
            echo "ext4 ${d##*/} errors=$errors last=$last"
    done
}

# What nobody may change, whatever its mode says, of what renewals write and of certificates: only such lines are told.
# lsattr opens what it looks at, but no device or pipe; all of these are on local file systems.
immutable() {
    found=
    set -f
    set -- /etc/letsencrypt /etc/letsencrypt/* /etc/letsencrypt/live/* /etc/letsencrypt/archive/* /root/.acme.sh \
        /root/.acme.sh/* /var/lib/dehydrated /var/lib/dehydrated/* /var/lib/dehydrated/certs/* /etc/dehydrated \
        /etc/dehydrated/* /var/lib/lego /var/lib/lego/* /root/.lego /root/.lego/* /etc/lego /etc/lego/* /var/lib/caddy \
        /var/lib/certmonger /var/lib/certmonger/* /etc/uacme /etc/uacme/* /etc/getssl /etc/getssl/* /root/.getssl \
        /root/.getssl/* /etc/ssl /etc/ssl/* /etc/pki/tls /etc/pki/tls/* /etc/pki/nginx /etc/nginx/* /etc/apache2/* \
        /etc/httpd/* /etc/haproxy /etc/haproxy/* /usr/local/etc/ssl /usr/local/etc/ssl/*
    set +f
    for pattern do
        [ "${#found}" -lt 50000 ] || break
        fit "$pattern"
        IFS=$nl
        set -f
        for d in $names; do
            if [ ! -L "$d" ] && [ -d "$d" ]; then found=$found$d$nl; fi
        done
        set +f
        IFS=$blank
    done
    IFS=$nl
    set -f
    set -- $seen
    set +f
    IFS=$blank
    for d do
        case $d in
        *.pem | *.crt | *.cer | /etc/letsencrypt/renewal/*.conf) ;;
        *) continue ;;
        esac
        [ "${#found}" -lt 100000 ] || break
        if ! away "$d" && [ -f "$d" ] && [ ! -L "$d" ]; then found=$found$d$nl; fi
    done
    IFS=$nl
    set -f
    set -- $found
    IFS=$blank
    if [ "$#" -eq 0 ]; then
        :
    elif [ -n "$mountinfo" ]; then
        found=$(limit 5 lsattr -d "$@")
    else
        case $(uname -s) in
        Darwin) found=$(ls -lndO "$@") ;;
        *) found=$(ls -lndo "$@") ;;
        esac
    fi
    echo "looked=$#"
    IFS=$nl
    for line in $found; do
        case ${line%%/*} in
        *schg* | *uchg* | *appnd* | *immutable* | *append*) ;;
        *' '*' '*) continue ;;
        *[ia]*) ;;
        *) continue ;;
        esac
        put "$line$nl"
    done
    set +f
    IFS=$blank
}

first_round() {
    mode=all
    places /etc/hosts /etc/hostname /etc/machine-id /etc/resolv.conf /etc/fstab
    perhaps /etc/os-release /etc/nsswitch.conf /etc/rc.conf /etc/myname
    if [ -n "$mountinfo" ]; then
        say "BEGIN FILE /proc/self/mountinfo"
        put "$mountinfo$nl"
        say "END $?"
        say "BEGIN OUT devices.txt"
        devices
        say "END 0"
    else
        output mount.txt 5 mount
    fi

    # Schedules and what is known of their last runs.
    places /etc/crontab /etc/anacrontab /etc/cron.d /etc/cron.hourly /etc/cron.daily /etc/cron.weekly /etc/cron.monthly \
        /var/spool/cron
    perhaps /etc/cron.yearly /etc/crontabs /etc/periodic /var/cron/tabs /usr/lib/cron/tabs /usr/local/etc/cron.d \
        /etc/cron.allow /etc/cron.deny /usr/local/etc/anacrontab /var/spool/at /var/spool/atjobs /var/spool/fcron \
        /var/spool/anacron /etc/periodic.conf /Library/LaunchDaemons
    places /etc/systemd/system
    # A mask or a drop-in until the next boot, and what `systemctl set-property` and `systemd-run` make.
    perhaps /etc/systemd/user /etc/systemd/system.control /etc/systemd/system.attached /run/systemd/system \
        /run/systemd/system.control /run/systemd/system.attached /run/systemd/transient /run/systemd/user \
        /run/systemd/generator.early /run/systemd/generator /run/systemd/generator.late /usr/local/lib/systemd/system \
        /usr/local/lib/systemd/user
    quiet=1 told=1
    for d in /usr/lib/systemd/system /lib/systemd/system /usr/lib/systemd/user /lib/systemd/user; do
        case $merged$d in 1/lib/*) continue ;; esac
        reachable "$d" && [ -d "$d" ] || continue
        say "NOTE SEEN $d"
        for u in "$d"/*.timer "$d"/*.path; do
            { [ -L "$u" ] || [ -e "$u" ]; } || continue
            odd "$u" && continue
            grab "$u"
            for s in "${u%.*}.service" "${u%@.*}@.service"; do
                if [ -L "$s" ] || [ -e "$s" ]; then grab "$s"; fi
            done
            for s in "$u.d" "${u%.*}.service.d"; do
                if [ -L "$s" ] || [ -d "$s" ]; then files_of "$s/*.conf" links; fi
            done
        done
    done
    quiet= told=
    [ -d /run/systemd/system ] && output systemctl-units.txt 10 systemctl --no-pager show '*.timer' '*.service' -p Id,Unit,LoadState,ActiveState,SubState,UnitFileState,FragmentPath,LastTriggerUSec,NextElapseUSecRealtime,NextElapseUSecMonotonic,TimersCalendar,TimersMonotonic,Result,ExecMainStatus,ExecMainStartTimestamp,ExecMainExitTimestamp
    say "BEGIN OUT states.txt"
    listing
    say "END 0"
    if [ -n "$awk" ]; then
        say "BEGIN OUT cron-log.txt"
        cron_log | last_of_each
        say "END 0"
    fi

    # Certificates and who renews them: public parts.
    mode=certificates
    place /etc/letsencrypt/renewal
    quiet=1 told=1
    files_of '/etc/letsencrypt/*.ini' links
    files_of '/etc/letsencrypt/accounts/*/directory/*/regr.json' links
    place /etc/letsencrypt/live
    place /etc/letsencrypt/archive
    mode=all
    place /etc/letsencrypt/renewal-hooks
    mode=certificates
    perhaps /etc/dehydrated /var/lib/dehydrated /root/.acme.sh /etc/acme /etc/lego /root/.lego /var/lib/lego \
        /var/lib/certmonger/requests /var/lib/certmonger/cas /var/lib/caddy /etc/uacme /root/.getssl /etc/getssl
    quiet=1
    for d in /etc/ssl /etc/pki/tls/certs /etc/pki/nginx /usr/local/etc/ssl; do
        for pattern in '*.pem' '*.crt' '*.cer' '*/*.pem' '*/*.crt'; do files_of "$d/$pattern"; done
    done
    quiet= told=

    # Monitoring, web servers, and the other daemons whose configuration names hosts.
    mode=configuration
    perhaps /etc/prometheus /etc/alertmanager /etc/nagios /etc/nagios3 /etc/nagios4 /usr/local/nagios/etc /etc/icinga \
        /etc/icinga2 /etc/naemon /etc/zabbix /etc/monit /etc/monitrc /etc/telegraf /etc/collectd /etc/collectd.conf \
        /etc/grafana /etc/blackbox_exporter /etc/rsyslog.d /etc/syslog-ng /etc/filebeat /etc/fluent-bit \
        /etc/fluentd /etc/td-agent /etc/vector /etc/promtail /etc/alloy /etc/otelcol /etc/default/prometheus \
        /etc/metricbeat /etc/heartbeat /etc/auditbeat /etc/packetbeat /etc/journalbeat /etc/td-agent-bit /etc/loki \
        /etc/grafana-agent /etc/grafana-agent.yaml /etc/systemd/journal-upload.conf /etc/systemd/journal-upload.conf.d \
        /var/cache/nagios4/objects.precache /var/lib/nagios/objects.precache
    perhaps /etc/nginx /etc/apache2 /etc/httpd /etc/haproxy /etc/caddy /etc/traefik /etc/keepalived /etc/squid /etc/varnish \
        /etc/squid3 /etc/envoy /usr/local/etc/nginx /usr/local/etc/haproxy /usr/local/etc/haproxy.conf \
        /usr/local/etc/apache24 /usr/local/nginx/conf /opt/nginx/conf
    # Backups and replication, and who else answers or asks.
    perhaps /etc/borgmatic /etc/borgmatic.d /etc/restic /etc/resticprofile /etc/rsnapshot.conf /etc/bacula /etc/bareos \
        /etc/zrepl /etc/barman.conf /etc/barman.d /etc/pgbackrest /etc/pgbackrest.conf /etc/postgresql \
        /etc/postgresql-common /etc/valkey /etc/sssd /etc/nslcd.conf /etc/openldap/ldap.conf /etc/ipa/default.conf \
        /etc/krb5.conf.d /etc/nsd /etc/knot /etc/powerdns /etc/pdns /etc/pdns-recursor /etc/ntpsec /etc/ntp.d \
        /etc/ssmtp /etc/msmtprc /etc/nullmailer /etc/logrotate.conf /etc/sysconfig/iptables /usr/local/etc/namedb \
        /var/named/chroot/etc
    # That a machine sends no logs by these, or lets nobody in, is worth a word: nothing else may speak of it.
    places /etc/rsyslog.conf /etc/ssh/sshd_config
    for d in /etc/opendkim /etc/dkim; do
        perhaps "$d/KeyTable" "$d/SigningTable" "$d/TrustedHosts" "$d/key.table" "$d/signing.table" "$d/trusted.hosts"
    done
    perhaps /etc/opendkim.conf /etc/rspamd/local.d/dkim_signing.conf /etc/rspamd/dkim_selectors.map
    perhaps /etc/ssh/ssh_config /etc/ssh/ssh_config.d /etc/ssh/sshd_config.d /etc/ssh/ssh_known_hosts \
        /etc/exports /etc/exports.d /etc/auto.master.d /etc/bind /etc/named.conf /etc/named /etc/unbound /etc/dnsmasq.conf \
        /etc/dnsmasq.d /etc/chrony.conf /etc/chrony /etc/ntp.conf /etc/systemd/timesyncd.conf /etc/systemd/timesyncd.conf.d \
        /etc/systemd/resolved.conf /etc/systemd/resolved.conf.d \
        /etc/systemd/network /etc/postfix /etc/exim4 /etc/dhcp /etc/kea /etc/rsyncd.conf /etc/ldap/ldap.conf /etc/krb5.conf \
        /etc/puppet /etc/puppetlabs/puppet /etc/salt/minion /etc/salt/minion.d /etc/hosts.allow /etc/hosts.deny \
        /etc/nftables.conf /etc/iptables /etc/ufw/user.rules /etc/redis /etc/mysql /etc/my.cnf /etc/pgbouncer /etc/logrotate.d

    quiet=1 told=1
    files_of '/etc/auto[._]*' links
    quiet= told=

    # For which hosts sudo's rules hold.
    mode=configuration
    perhaps /etc/sudoers /etc/sudoers.d /usr/local/etc/sudoers /usr/local/etc/sudoers.d

    # Of homes: whom each user's keys let in, and the user's own units. Services have homes elsewhere.
    mode=all
    perhaps /etc/ssh/authorized_keys /etc/ssh/authorized_keys.d
    quiet=1 told=1
    fit '/home/*'
    homes=/root$nl$names
    while IFS=: read -r name password user group gecos d login; do
        case $d in /*) normal "$d" ;; *) continue ;; esac
        odd "$out" && continue
        case $out in
        '' | /dev | /dev/* | /proc/* | /bin | /usr/bin | /sbin | /usr/sbin | /nonexistent) ;;
        *) homes=$homes$out$nl ;;
        esac
        if [ "${#homes}" -ge 100000 ]; then
            say "NOTE FULL $out"
            break
        fi
    done </etc/passwd
    IFS=$nl
    set -f
    for d in $homes; do
        set +f
        IFS=$blank
        case $homed in *"$nl$d$nl"*) continue ;; esac
        homed=$homed$d$nl
        home "$d"
    done
    set +f
    IFS=$blank
    fit '/run/user/*'
    IFS=$nl
    set -f
    for d in $names; do
        set +f
        IFS=$blank
        place "$d/systemd/transient"
    done
    set +f
    IFS=$blank
    told=
    quiet=
    settle

    if [ -z "$mountinfo" ] || command -v lsattr >/dev/null; then
        say "BEGIN OUT immutable.txt"
        immutable
        say "END 0"
    fi

    # Who this machine is, who listens, who talks.
    output ip-addr.txt 5 ip -o addr || output ip-addr.txt 5 ifconfig -a
    # All states at once, as it is the looking for programs that takes long; without those that wait for nothing.
    output sockets.txt 5 ss -tunp state listening state closed state established state syn-sent state fin-wait-1 \
        state fin-wait-2 state close-wait state last-ack state closing || output sockets.txt 5 netstat -an
    # Which of these connections is that of this very program.
    case $session in
    ?*)
        say "BEGIN OUT session.txt"
        echo "$session"
        say "END 0"
        ;;
    esac
    say "BEGIN OUT host.txt"
    identity
    say "END 0"
}

# ---

# A file that the first round named: programs in machine code are not of interest.
named() {
    case $merged$1 in
    1/lib/systemd/*) return ;;
    esac
    if ! reachable "$1"; then
        say "NOTE REMOTE $1"
    elif [ ! -d "$1" ]; then
        # Of links only those count that lead to something else.
        case $heads in
        *"$nl=="?" $1 <==$nl"?ELF*) say "NOTE BINARY $1" ;;
        *) grab "$1" ;;
        esac
    fi
}

main() {
    session=${SSH_CONNECTION:-${1-}}
    LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin
    export LC_ALL PATH
    # These change what ls prints.
    unset QUOTING_STYLE TIME_STYLE
    [ -n "$WANT" ] || now=$(date '+%Y-%m-%dT%H:%M:%S%z %z')
    TZ=UTC0
    export TZ
    nl='
'
    blank=' 	'$nl
    IFS=$blank
    k=0 files=0 waiting=0 level=0 full='' quiet='' told='' unlinked='' seen=$nl homed=$nl batch='' links='' elf='' awk=''
    exec 4>&1 2>/dev/null
    if uid=$(timeout 1 id -u); then
        limit() { timeout "$@"; }
    elif uid=$(timeout -t 1 id -u); then
        limit() { seconds=$1; shift; timeout -t "$seconds" "$@"; }
    else
        uid=$(id -u)
        limit() { shift; "$@"; }
    fi
    command -v awk >/dev/null && awk=1
    # The deadline on this side, if the other has gone. It ends by itself soon after this program.
    (
        i=0
        while [ "$i" -lt "$DEADLINE" ]; do
            sleep 2
            kill -0 $$ || exit
            i=$((i + 2))
        done
        kill $$
    ) </dev/null >/dev/null 2>&1 4>&- &
    watch=$!
    merged=
    [ -L /lib ] && merged=1
    say "START 1"
    find_mounts
    if [ -n "$WANT" ]; then
        IFS=$nl
        set -f
        set -- $WANT
        set +f
        IFS=$blank
        elf=1 some=
        for w do
            [ -L "$w" ] && ! secret "$w" && reachable "$w" && [ -f "$w" ] && [ -r "$w" ] && some=$some$w$nl
        done
        IFS=$nl
        set -f
        # With /dev/null there are several, so that each has its name above its four bytes.
        heads=${some:+$(head -c 4 /dev/null $some)}
        set +f
        IFS=$blank
        for w do named "$w"; done
        settle
    else
        first_round
    fi
    say "DONE $files"
    kill "$watch"
}

main "$@" </dev/null
