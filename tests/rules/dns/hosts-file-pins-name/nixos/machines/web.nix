{ ... }:
{
  networking.extraHosts = ''
    10.20.4.17 repo.example.net repo
    10.20.4.18 other.example.net
  '';
  networking.hosts = {
    "10.20.4.17" = [ "mirror.example.net" ];
    "10.20.4.19" = [ "third.example.net" ];
  };
  services.chrony.servers = [ "old-01.example.net" ];
  services.telegraf.inputs.ping.urls = [ "10.20.4.17" "10.20.4.18" ];
}
