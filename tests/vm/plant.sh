# On the booted machine, as root: an estate that needs old-01.lab.example. Each line of expected.txt is one thing of it.
set -eu
old=old-01.lab.example
unit() { mkdir -p "${1%/*}"; printf '%b' "$2" >"$1"; }
job() { unit "$1/$2.service" "[Service]\nType=oneshot\nExecStart=/usr/bin/curl -s http://$old/$3\n"; }
timer() { unit "$1/$2.timer" "[Timer]\nOnCalendar=$3\n[Install]\nWantedBy=timers.target\n"; }
etc=/etc/systemd/system

echo "10.0.2.100 $old old-01" >>/etc/hosts
printf '15 3 * * * root curl -s http://%s/cron.d\n' $old >/etc/cron.d/old
printf '@daily curl -s http://%s/crontab\n' $old | crontab -
printf '*/10 * * * * curl -s http://%s/crontab-alice\n' $old | crontab -u alice -
printf '#!/bin/sh\ncurl -s http://%s/cron.daily\n' $old >/etc/cron.daily/old
chmod +x /etc/cron.daily/old
echo "curl -s http://$old/at" | at now + 2 days

echo "TARGET=$old" >/etc/default/sync
unit $etc/sync.service '[Service]\nType=oneshot\nEnvironmentFile=/etc/default/sync\nExecStart=/usr/bin/curl -s http://${TARGET}/environment\n'
timer $etc sync '*-*-* 02:30'
job $etc backup@ backup-%i
timer $etc backup@ weekly
job /opt/app linked linked
timer /opt/app linked hourly
job /run/systemd/system until-boot until-boot
timer /run/systemd/system until-boot '*:0/20'
job $etc masked masked
job $etc disabled disabled
timer $etc disabled daily
unit /run/systemd/system/e2scrub_all.service.d/old.conf "[Service]\nExecStartPre=/usr/bin/curl -s http://$old/drop-in\n"
unit $etc/drop.path '[Path]\nDirectoryNotEmpty=/srv/drop\n[Install]\nWantedBy=multi-user.target\n'
job $etc drop path-unit
unit $etc/fwd.socket '[Socket]\nListenStream=7001\n[Install]\nWantedBy=sockets.target\n'
unit $etc/fwd.service "[Service]\nExecStart=/lib/systemd/systemd-socket-proxyd $old:7001\n"
unit $etc/client.service '[Service]\nExecStart=/bin/sh -c "sleep infinity | nc 10.0.2.100 5432"\n[Install]\nWantedBy=multi-user.target\n'
unit $etc/srv-auto.mount "[Mount]\nWhat=$old:/archive\nWhere=/srv/auto\nType=nfs\n"
unit $etc/srv-auto.automount '[Automount]\nWhere=/srv/auto\n[Install]\nWantedBy=multi-user.target\n'

home=/home/alice/.config/systemd/user
job $home own own
timer $home own hourly
chown -R alice: /home/alice
job /etc/systemd/user everyone everyone
timer /etc/systemd/user everyone daily
loginctl enable-linger alice

acme=/etc/letsencrypt
mkdir -p $acme/live/app $acme/archive/app
printf '#!/bin/sh\nrsync -a "$RENEWED_LINEAGE/" deploy@%s:/hook/\n' $old >/usr/local/bin/push
chmod +x /usr/local/bin/push
mkdir -p $acme/renewal-hooks/deploy
ln -s /usr/local/bin/push $acme/renewal-hooks/deploy/push
unit $acme/renewal/app.conf "cert = $acme/live/app/cert.pem\nprivkey = $acme/live/app/privkey.pem\nchain = $acme/live/app/chain.pem\nfullchain = $acme/live/app/fullchain.pem\n[renewalparams]\nauthenticator = standalone\n"
chmod 700 $acme/live $acme/archive
chattr +i $acme/archive/app

# Our own file server, at an address whose packets are dropped as soon as it is mounted.
mkdir -p /srv/export/cron /mnt/dead /srv/drop
echo '/srv/export *(rw,no_subtree_check,fsid=1)' >/etc/exports
modprobe dummy
ip link add dummy0 type dummy
ip addr add 10.9.9.9/32 dev dummy0
ip link set dummy0 up
systemctl restart nfs-server
timeout 60 mount -t nfs -o vers=3,nolock,hard 10.9.9.9:/srv/export /mnt/dead
ln -s /mnt/dead/cron/hidden /etc/cron.d/on-dead
ln -s /mnt/dead/site /etc/letsencrypt/renewal-hooks/post

systemctl daemon-reload
systemctl link /opt/app/linked.service /opt/app/linked.timer
systemctl enable --now sync.timer backup@weekly.timer linked.timer drop.path fwd.socket client srv-auto.automount
systemctl start until-boot.timer
systemctl mask masked.timer apt-daily.timer
systemctl --global enable everyone.timer
systemd-run --on-calendar='*:0/7' --unit=made curl -s http://$old/systemd-run
as_alice() { runuser -u alice -- env XDG_RUNTIME_DIR=/run/user/$(id -u alice) "$@"; }
as_alice systemctl --user daemon-reload
as_alice systemctl --user enable --now own.timer
as_alice systemd-run --user --on-calendar=daily curl -s http://$old/user-run
nft 'add table ip dead; add chain ip dead out { type filter hook output priority 0; }; add rule ip dead out ip daddr 10.9.9.9 drop'
