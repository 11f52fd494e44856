class site {
  case $::hostname {
    kassia,gluck: { include postgres }
    default: {}
  }
}
