{
  nixosConfigurations.gluck = system {
    modules = [ ./machines/gluck ];
  };
}
