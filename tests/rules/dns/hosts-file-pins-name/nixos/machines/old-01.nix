{ services.nginx.virtualHosts."a.example.net".locations."/".proxyPass = "http://old-01.example.net:8080"; }
