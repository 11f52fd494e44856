job "renew" {
  type = "batch"
  periodic { cron = "0 3 * * *" }
  constraint {
    attribute = "${attr.unique.network.ip-address}"
    value     = "10.0.0.7"
  }
  group "g" { task "t" { config { command = "/opt/renew" } } }
}
job "either" {
  type = "batch"
  constraint {
    attribute = "${attr.unique.hostname}"
    operator  = "set_contains_any"
    value     = "old-01.example.net,old-010.example.net,new-01.example.net"
  }
}
