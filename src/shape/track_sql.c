/* What tracking needs inside PostgreSQL: functions in the schema of the store. track.h says what
 * for.
 *
 *   kf_track_version   the number of this text, TRACK_FUNCTIONS
 *   kf_track_find      the table of a name as it is written in SQL
 *   kf_track_unfit     why a table cannot be tracked; '' = it can
 *   kf_track_pairs     its primary key, as arguments that make a JSON object of a row's
 *   kf_track_key       what the functions of one table are made of: the key's columns and types
 *   kf_track_mark      changes with whatever may have gone past the triggers: four words, of the
 *                      table's file, its triggers, its columns, the trigger's function
 *   kf_track_check     whether a tracked table is as it was left: `same`; `missing`, `off`, `unfit
 *                      WHY`; `made WHAT`, where triggers are to be made anew; `changed WHAT`;
 *                      `older`, where all is as it was and its functions are of another version
 *   kf_track_install   triggers, and for this table:
 *     kf_capture_ID      the trigger
 *     kf_look_ID         a row by its key
 *     kf_page_ID         keys in their order
 *   kf_look, kf_page   the same of any tracked table
 *   kf_there           whether there is such a row; where nobody can say, there is
 *   kf_key_id          a key as it is indexed: what is long by its hash
 *
 * Whoever tracks, looks after tables or reads changes makes them anew where they have a lower
 * number (track_look.c), so a server of an older version, which runs beside it, leaves them alone:
 * what is here must serve its statements, too. So names, parameters and the kind of what is given
 * back stay; what must be another takes another name. Then the functions of each table are made
 * anew, with nothing told anew of its rows. Whoever changes the text raises the number
 * (conform/track has the hash of the text).
 *
 * What fails by a table alone (a refusal of the database to change it, a function of somebody else
 * in what is read of it, damage) has a SQLSTATE of its own, KF001, so that it is held against that
 * table (PROBLEM_CONFIG) and not against the store.
 *
 * The trigger runs with our rights (SECURITY DEFINER), for who writes to the table needs none in
 * this schema; what it calls is qualified, and nobody else may attach it. Keys are texts of the
 * same values for every session, so settings that change how values look are fixed. Names of
 * tables and columns are somebody else's words and go through %I and %L alone. */
#include "shape/track_internal.h"

#define STEADY                                                                                 \
    "SET search_path TO pg_catalog, pg_temp SET TimeZone TO ''UTC'' SET DateStyle TO ''ISO'' " \
    "SET IntervalStyle TO ''postgres'' SET bytea_output TO ''hex'' "                           \
    "SET extra_float_digits TO ''1'' SET row_security TO off"

/* The columns of the primary key of $1, in their order. */
#define KEY_COLUMNS                                                                            \
    " FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(num, ord)" \
    " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num"                     \
    " WHERE i.indrelid = $1 AND i.indisprimary AND k.ord <= i.indnkeyatts "

#define OUR_TRIGGERS                                                            \
    " FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid JOIN pg_namespace n" \
    " ON n.oid = p.pronamespace WHERE p.proname = 'kf_capture_' || as_id"       \
    " AND n.nspname = current_schema() AND g.tgrelid = rel "

/* What passes, or is everybody's, stays what it is. */
#define ITS_OWN                                                                             \
    " WHEN lock_not_available OR deadlock_detected OR serialization_failure OR"             \
    " insufficient_resources OR read_only_sql_transaction THEN RAISE;"                      \
    " WHEN others THEN RAISE EXCEPTION '%: %', coalesce((SELECT name FROM kf_tracked WHERE" \
    " id = as_id), '?'), SQLERRM USING ERRCODE = 'KF001'; "

#define TEXT_OF(number)     #number
#define NUMBER_TEXT(number) TEXT_OF(number)
#define VERSION             " SELECT " NUMBER_TEXT(TRACK_FUNCTIONS) "::bigint "

#define NOW_MS "(extract(epoch FROM statement_timestamp()) * 1000)::bigint"

const char track_functions[] =
    "CREATE OR REPLACE FUNCTION kf_track_version() RETURNS bigint LANGUAGE sql IMMUTABLE AS"
    " $kf$" VERSION "$kf$;"

    "CREATE OR REPLACE FUNCTION kf_key_id(key text) RETURNS text LANGUAGE sql IMMUTABLE AS $kf$"
    " SELECT CASE WHEN octet_length(key) <= 500 THEN key"
    " ELSE '#' || encode(sha256(convert_to(key, 'UTF8')), 'hex') END $kf$;"

    "CREATE OR REPLACE FUNCTION kf_track_find(wanted text) RETURNS oid LANGUAGE plpgsql STABLE AS"
    " $kf$ DECLARE parts text[]; "
    "BEGIN"
    " BEGIN parts := parse_ident(wanted); EXCEPTION WHEN data_exception OR syntax_error THEN"
    " RETURN NULL; END;"
    " IF cardinality(parts) = 1 THEN parts := ARRAY['public', parts[1]]; END IF;"
    " IF cardinality(parts) <> 2 THEN RETURN NULL; END IF;"
    " RETURN (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = parts[1] AND c.relname = parts[2]);"
    "END $kf$;"

    "CREATE OR REPLACE FUNCTION kf_track_name(rel oid) RETURNS text LANGUAGE sql STABLE AS $kf$"
    " SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n"
    " ON n.oid = c.relnamespace WHERE c.oid = $1 $kf$;"

    "CREATE OR REPLACE FUNCTION kf_track_unfit(rel oid) RETURNS text LANGUAGE sql STABLE AS $kf$"
    " SELECT CASE WHEN n.nspname IN ('pg_catalog', 'information_schema') OR EXISTS(SELECT 1 FROM"
    " pg_class f WHERE f.relnamespace = n.oid AND f.relname = 'kf_format') THEN 'ours'"
    " WHEN c.relkind = 'p' THEN 'partitioned' WHEN c.relkind <> 'r' THEN 'kind'"
    " WHEN c.relpersistence <> 'p' THEN 'unlogged'"
    " WHEN NOT EXISTS(SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)"
    " THEN 'key'"
    " WHEN NOT has_schema_privilege(n.oid, 'USAGE') OR NOT has_table_privilege(c.oid, 'SELECT')"
    " OR NOT has_table_privilege(c.oid, 'TRIGGER') THEN 'denied'"
    " WHEN row_security_active(c.oid) THEN 'row_security' ELSE '' END"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1 $kf$;"

    /* Numbers and truths stand as they are, all else as its text. */
    "CREATE OR REPLACE FUNCTION kf_track_pairs(rel oid, alias text) RETURNS text LANGUAGE sql "
    "STABLE"
    " AS $kf$ SELECT string_agg(format(CASE WHEN a.atttypid = ANY('{16,20,21,23,1700}'::oid[])"
    " THEN '%1$L, %2$s.%1$I' ELSE '%1$L, (%2$s.%1$I)::text' END, a.attname, $2), ', '"
    " ORDER BY k.ord)" KEY_COLUMNS "$kf$;"

    "CREATE OR REPLACE FUNCTION kf_track_values(rel oid, source text, OUT columns text,"
    " OUT vals text) LANGUAGE sql STABLE SET search_path TO pg_catalog AS $kf$"
    " SELECT string_agg(format('t.%I', a.attname), ', ' ORDER BY k.ord),"
    " string_agg(format('(%s ->> %L)::%s', $2, a.attname, format_type(a.atttypid, a.atttypmod)),"
    " ', ' ORDER BY k.ord)" KEY_COLUMNS "$kf$;"

    /* A type that becomes another may have keys that the old one could not read. */
    "CREATE OR REPLACE FUNCTION kf_track_key(rel oid) RETURNS text LANGUAGE sql STABLE AS $kf$"
    " SELECT concat_ws(' ', kf_track_pairs($1, 'r'), v.vals) FROM kf_track_values($1, 'k') v $kf$;"

    "CREATE OR REPLACE FUNCTION kf_track_mark(as_id bigint, rel oid) RETURNS text LANGUAGE sql"
    " STABLE AS $kf$ SELECT concat_ws(' ', coalesce(pg_relation_filenode(rel)::bigint, 0),"
    " md5(coalesce((SELECT string_agg(concat_ws(',', g.tgname, g.tgenabled, g.xmin), ';'"
    " ORDER BY g.tgname)" OUR_TRIGGERS "), '')),"
    " md5(coalesce((SELECT string_agg(concat_ws(',', a.attnum, a.attname, a.atttypid, a.atttypmod),"
    " ';' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = rel AND a.attnum > 0"
    " AND NOT a.attisdropped), '')),"
    " md5(coalesce((SELECT string_agg(concat_ws(',', p.prosrc, p.prosecdef, p.proconfig), ';')"
    " FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname ="
    " current_schema() AND p.proname = 'kf_capture_' || as_id), ''))) $kf$;"

    /* A trigger that was made anew by somebody else may look at less than ours. */
    "CREATE OR REPLACE FUNCTION kf_track_check(as_id bigint) RETURNS text LANGUAGE plpgsql STABLE"
    " AS $kf$ DECLARE t kf_tracked%ROWTYPE; rel oid; word text; there bigint; silent bigint;"
    " was text[]; seen text[]; "
    "BEGIN"
    " SELECT * INTO t FROM kf_tracked WHERE id = as_id;"
    " rel := kf_track_find(t.name);"
    " IF rel IS NULL THEN RETURN 'missing'; END IF;"
    " word := kf_track_unfit(rel);"
    " IF word <> '' THEN RETURN 'unfit ' || word; END IF;"
    " SELECT count(*) FILTER (WHERE g.tgtype IN (29, 32) AND g.tgqual IS NULL"
    " AND g.tgattr::text = ''), count(*) FILTER (WHERE g.tgenabled IN ('D', 'R'))"
    " INTO there, silent" OUR_TRIGGERS ";"
    " was := string_to_array(t.mark, ' '); seen := string_to_array(kf_track_mark(as_id, rel), ' ');"
    " RETURN CASE WHEN rel <> t.relid::oid THEN 'made table' WHEN there <> 2 THEN 'made triggers'"
    " WHEN seen[4] IS DISTINCT FROM was[4] THEN 'made function'"
    " WHEN kf_track_key(rel) <> t.columns THEN 'made key' WHEN silent > 0 THEN 'off'"
    " WHEN seen[3] IS DISTINCT FROM was[3] THEN 'changed columns'"
    " WHEN seen[1] IS DISTINCT FROM was[1] THEN 'changed file'"
    " WHEN seen[2] IS DISTINCT FROM was[2] THEN 'changed triggers'"
    " WHEN t.made <> kf_track_version() THEN 'older' ELSE 'same' END;"
    "END $kf$;"

    /* Waits a moment for a table that is held, with the row of numbers locked: no longer. */
    "CREATE OR REPLACE FUNCTION kf_track_install(as_id bigint) RETURNS text LANGUAGE plpgsql AS"
    " $kf$ DECLARE t kf_tracked%ROWTYPE; rel oid; tbl text; word text; key record; body text;"
    " home text := format('%I', current_schema()); waits text := current_setting('lock_timeout');"
    " tag text := format('kf_%s_%s', left(md5(current_schema()), 8), as_id); "
    "BEGIN"
    " SELECT * INTO t FROM kf_tracked WHERE id = as_id;"
    " rel := kf_track_find(t.name);"
    " IF rel IS NULL THEN RETURN 'absent'; END IF;"
    " word := kf_track_unfit(rel);"
    " IF word <> '' THEN RETURN word; END IF;"
    " tbl := kf_track_name(rel);"
    " PERFORM set_config('lock_timeout', '100', true);"
    " EXECUTE format('DROP FUNCTION IF EXISTS %s.kf_capture_%s() CASCADE', home, as_id);"
    " body := format($b$ DECLARE a text; b text; "
    "BEGIN"
    " IF TG_OP = 'TRUNCATE' THEN"
    " INSERT INTO %1$s.kf_captured(tracked, xid, at, what, key)"
    " VALUES(%2$s, txid_current(), " NOW_MS ", 't', '');"
    " RETURN NULL; END IF;"
    " IF TG_OP = 'UPDATE' THEN"
    " IF OLD OPERATOR(pg_catalog.*=) NEW THEN RETURN NULL; END IF; END IF;"
    " IF TG_OP <> 'INSERT' THEN a := jsonb_build_object(%3$s)::text; END IF;"
    " IF TG_OP <> 'DELETE' THEN b := jsonb_build_object(%4$s)::text; END IF;"
    " INSERT INTO %1$s.kf_captured(tracked, xid, at, what, key)"
    " SELECT %2$s, txid_current(), " NOW_MS ", w.what, w.key FROM (VALUES"
    " (1, CASE WHEN b IS NULL THEN 'd' ELSE 'l' END, CASE WHEN a IS DISTINCT FROM b THEN a END),"
    " (2, CASE WHEN a IS NULL OR a = b THEN 'p' ELSE 'l' END, b)) w(n, what, key)"
    " WHERE w.key IS NOT NULL ORDER BY w.n;"
    " RETURN NULL;"
    "END $b$, home, as_id, kf_track_pairs(rel, 'OLD'), kf_track_pairs(rel, 'NEW'));"
    " EXECUTE format('CREATE FUNCTION %s.kf_capture_%s() RETURNS trigger LANGUAGE plpgsql"
    " SECURITY DEFINER " STEADY " AS %L', home, as_id, body);"
    " EXECUTE format('REVOKE ALL ON FUNCTION %s.kf_capture_%s() FROM PUBLIC', home, as_id);"
    " EXECUTE format('CREATE TRIGGER %s_row AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW"
    " EXECUTE FUNCTION %s.kf_capture_%s()', tag, tbl, home, as_id);"
    " EXECUTE format('CREATE TRIGGER %s_all AFTER TRUNCATE ON %s FOR EACH STATEMENT"
    " EXECUTE FUNCTION %s.kf_capture_%s()', tag, tbl, home, as_id);"
    /* So that what replication writes is seen, too; only the owner may say so. */
    " IF (SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class c WHERE c.oid = rel) THEN"
    " EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %s_row, ENABLE ALWAYS TRIGGER %s_all',"
    " tbl, tag, tag); END IF;"
    " SELECT * INTO key FROM kf_track_values(rel, '$1');"
    " EXECUTE format('CREATE OR REPLACE FUNCTION %s.kf_look_%s(jsonb) RETURNS text LANGUAGE plpgsql"
    " STABLE " STEADY " AS %L', home, as_id, format($b$ BEGIN RETURN (SELECT row_to_json(t.*)::text"
    " FROM ONLY %s AS t WHERE ROW(%s) = ROW(%s)); END $b$, tbl, key.columns, key.vals));"
    " SELECT * INTO key FROM kf_track_values(rel, '($1::jsonb)');"
    " EXECUTE format('CREATE OR REPLACE FUNCTION %s.kf_page_%s(text, bigint) RETURNS SETOF text"
    " LANGUAGE plpgsql STABLE " STEADY " AS %L', home, as_id, format($b$ BEGIN IF $1 = '' THEN"
    " RETURN QUERY SELECT jsonb_build_object(%2$s)::text FROM ONLY %1$s AS t ORDER BY %3$s LIMIT "
    "$2;"
    " ELSE RETURN QUERY SELECT jsonb_build_object(%2$s)::text FROM ONLY %1$s AS t WHERE ROW(%3$s) >"
    " ROW(%4$s) ORDER BY %3$s LIMIT $2; END IF; END $b$, tbl, kf_track_pairs(rel, 't'),"
    " key.columns, key.vals));"
    " PERFORM set_config('lock_timeout', waits, true);"
    " UPDATE kf_tracked SET relid = rel::bigint, columns = kf_track_key(rel),"
    " mark = kf_track_mark(as_id, rel), made = kf_track_version() WHERE id = as_id;"
    " RETURN ''; "
    "EXCEPTION" ITS_OWN "END $kf$;"

    "CREATE OR REPLACE FUNCTION kf_track_undo(as_id bigint) RETURNS text LANGUAGE plpgsql AS $kf$"
    " DECLARE waits text := current_setting('lock_timeout'); "
    "BEGIN"
    " PERFORM set_config('lock_timeout', '100', true);"
    " EXECUTE format('DROP FUNCTION IF EXISTS kf_capture_%s() CASCADE', as_id);"
    " EXECUTE format('DROP FUNCTION IF EXISTS kf_look_%s(jsonb)', as_id);"
    " EXECUTE format('DROP FUNCTION IF EXISTS kf_page_%s(text, bigint)', as_id);"
    " PERFORM set_config('lock_timeout', waits, true);"
    " RETURN '';"
    "END $kf$;"

    /* A key that is no value of the column any more is of a row that is no more. A table that goes
     * at this moment is another matter: then nothing is said. */
    "CREATE OR REPLACE FUNCTION kf_look(as_id bigint, key text) RETURNS text LANGUAGE plpgsql "
    "STABLE"
    " AS $kf$ DECLARE seen text; "
    "BEGIN"
    " EXECUTE format('SELECT kf_look_%s($1)', as_id) INTO seen USING key::jsonb;"
    " RETURN seen; "
    "EXCEPTION WHEN data_exception THEN RETURN NULL;"
    " WHEN undefined_table OR undefined_column OR insufficient_privilege THEN"
    " RAISE EXCEPTION 'a tracked table is being changed' USING ERRCODE = '55P03';" ITS_OWN
    "END $kf$;"

    /* Who reads the change looks again. */
    "CREATE OR REPLACE FUNCTION kf_there(as_id bigint, key text) RETURNS boolean LANGUAGE plpgsql"
    " STABLE AS $kf$ BEGIN RETURN kf_look(as_id, key) IS NOT NULL;"
    " EXCEPTION WHEN lock_not_available OR SQLSTATE 'KF001' THEN RETURN true; END $kf$;"

    "CREATE OR REPLACE FUNCTION kf_page(as_id bigint, place text, many bigint)"
    " RETURNS TABLE(key text) LANGUAGE plpgsql STABLE AS $kf$ "
    "BEGIN"
    " RETURN QUERY EXECUTE format('SELECT kf_page_%s($1, $2)', as_id) USING place, many; "
    "EXCEPTION WHEN undefined_table OR undefined_column OR insufficient_privilege OR data_exception"
    " THEN RAISE EXCEPTION 'a tracked table is being changed' USING ERRCODE = '55P03';" ITS_OWN
    "END $kf$;";
