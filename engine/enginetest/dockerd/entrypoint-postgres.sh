#!/bin/sh
# Makes the database on the first start, with the variables that the well-known image takes, then runs what it is told.
set -eu
PGDATA=${PGDATA:-/var/lib/postgresql/data}
export PGDATA
if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
	: "${POSTGRES_PASSWORD:?is needed to make a database}"
	user=${POSTGRES_USER:-postgres}
	printf '%s\n' "$POSTGRES_PASSWORD" >/tmp/password
	initdb --username="$user" --pwfile=/tmp/password --auth-local=trust --auth-host=scram-sha-256 \
		--encoding=UTF8 --locale=C.UTF-8 --no-sync
	rm /tmp/password
	echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
	echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
	database=${POSTGRES_DB:-$user}
	echo "CREATE DATABASE \"$database\"" | postgres --single -D "$PGDATA" postgres >/dev/null 2>&1 || [ "$database" = postgres ]
	for script in /docker-entrypoint-initdb.d/*.sql; do
		[ ! -e "$script" ] || postgres --single -j -D "$PGDATA" "$database" <"$script" >/dev/null
	done
fi
exec "$@"
