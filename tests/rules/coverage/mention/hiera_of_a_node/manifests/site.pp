node /^app-0[1-3]\.example\.net$/ {
  include role::app
}
node 'app-01.example.net' {
  include role::spare
}
