"""Scripts on Redis: one server, one behind Sentinels, a cluster, the embedded store."""
