#!/bin/bash
# One database and one role per service: no service can read another's. Run once, on an empty data directory.
set -euo pipefail
for service in catalog governance notify quality usage; do
  psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set name="$service" --set password="$NUTMEG_ROLES_PASSWORD" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
