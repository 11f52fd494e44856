resource "hcloud_server" "old" {
  name        = "old.example.net"
  server_type = "cx22"
}
resource "hcloud_server" "new" {
  name        = "new.example.net"
  server_type = "cx22"
}
