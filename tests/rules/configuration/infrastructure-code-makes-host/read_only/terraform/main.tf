resource "hcloud_server" "old" {
  name        = "old.example.net"
  server_type = "cx22"
}
