DATABASES = {
    "default": {"NAME": "shop", "HOST": "db1"},
    "other": {"NAME": "shop", "HOST": "db10"},
    "stage": {"NAME": "shop", "HOST": "db1.staging"},
}
var host = db1;
