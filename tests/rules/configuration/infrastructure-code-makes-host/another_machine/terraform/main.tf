resource "hcloud_server" "older" {
  name        = "older.example.net"
  server_type = "cx22"
}
