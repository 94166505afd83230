"""The store's tables, as numbered migrations.

Three groups of tables:

*Knowledge* (what everybody says): ``source``, ``origin``, ``object``, ``version``, ``observable``, ``claim``.
Keys named ``key`` are 63-bit keyed hashes (``store.keys``), short where ids and URLs are long; what they
were made of is stored beside them and compared, since keys of that size may collide. Observables and their
claims lie in the order in which the observables were first heard of, so that a large feed is written in
sequence. ``version`` keeps every object as it came, append-only; each points to the version before it.

*Served entries*: ``collection``, ``entry``. ``entry.id`` is ``collection.number << 40 | seq``: a page is
one range of the table. The body is what goes over the wire.

*The node's own*: findings, accounts, feed state, rejects, releases.

Times are integers of microseconds UTC.
"""

from __future__ import annotations

MIGRATIONS: tuple[tuple[str, str], ...] = (
    (
        "0001_knowledge",
        """
        CREATE TABLE source (
            number INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            kind TEXT NOT NULL,
            reliability TEXT NOT NULL,
            default_tlp INTEGER NOT NULL,
            lineage TEXT
        );
        CREATE TABLE origin (
            number INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE
        );
        CREATE TABLE object (
            key INTEGER PRIMARY KEY,
            modified INTEGER NOT NULL,
            version INTEGER NOT NULL
        );
        CREATE TABLE version (
            number INTEGER PRIMARY KEY,
            object INTEGER NOT NULL,
            previous INTEGER,
            modified INTEGER NOT NULL,
            received INTEGER NOT NULL,
            body BLOB NOT NULL
        );
        CREATE TABLE observable (
            number INTEGER PRIMARY KEY,
            key INTEGER NOT NULL,
            kind INTEGER NOT NULL,
            value TEXT NOT NULL,
            score INTEGER NOT NULL,
            next_change INTEGER,
            first_seen INTEGER NOT NULL,
            cap TEXT
        );
        CREATE UNIQUE INDEX observable_key ON observable (key);
        CREATE INDEX observable_due ON observable (next_change) WHERE next_change IS NOT NULL;
        CREATE TABLE claim (
            observable INTEGER NOT NULL,
            object INTEGER NOT NULL,
            source INTEGER NOT NULL,
            origin INTEGER NOT NULL,
            confidence INTEGER,
            observed INTEGER NOT NULL,
            valid_from INTEGER NOT NULL,
            valid_until INTEGER,
            tlp INTEGER,
            flags INTEGER NOT NULL,
            PRIMARY KEY (observable, object)
        ) WITHOUT ROWID;
        CREATE TABLE changed_observable (
            seq INTEGER PRIMARY KEY,
            observable INTEGER NOT NULL
        );
        """,
    ),
    (
        "0002_entries",
        """
        CREATE TABLE collection (
            number INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            alias TEXT NOT NULL UNIQUE,
            title TEXT NOT NULL UNIQUE,
            kind TEXT NOT NULL,
            partner TEXT,
            created INTEGER NOT NULL,
            last_seq INTEGER NOT NULL DEFAULT 0,
            last_added INTEGER NOT NULL DEFAULT 0,
            rewritten INTEGER NOT NULL DEFAULT 0
        );
        CREATE TABLE entry (
            id INTEGER PRIMARY KEY,
            added INTEGER NOT NULL,
            object_id TEXT NOT NULL,
            version INTEGER NOT NULL,
            type TEXT NOT NULL,
            spec_version TEXT NOT NULL,
            owner TEXT NOT NULL,
            superseded INTEGER NOT NULL DEFAULT 0,
            body BLOB NOT NULL
        );
        CREATE INDEX entry_current ON entry (id) WHERE superseded = 0;
        CREATE UNIQUE INDEX entry_object ON entry (object_id, id >> 40, version);
        CREATE INDEX entry_added ON entry (id >> 40, added);
        CREATE INDEX entry_type ON entry (id >> 40, type, superseded);
        CREATE INDEX entry_version ON entry (id >> 40, version);
        CREATE INDEX entry_old_spec ON entry (id) WHERE spec_version <> '2.1';
        CREATE TABLE taxii_status (
            id TEXT PRIMARY KEY,
            account TEXT NOT NULL,
            created INTEGER NOT NULL,
            body BLOB NOT NULL
        );
        CREATE INDEX taxii_status_created ON taxii_status (created);
        CREATE TABLE account (
            name TEXT PRIMARY KEY,
            created INTEGER NOT NULL,
            revoked INTEGER,
            findings INTEGER NOT NULL DEFAULT 0
        );
        CREATE TABLE account_key (
            prefix TEXT PRIMARY KEY,
            account TEXT NOT NULL,
            hash BLOB NOT NULL,
            created INTEGER NOT NULL,
            expires INTEGER
        );
        CREATE INDEX account_key_account ON account_key (account);
        CREATE TABLE account_right (
            account TEXT NOT NULL,
            collection INTEGER NOT NULL,
            verb TEXT NOT NULL,
            PRIMARY KEY (account, collection, verb)
        ) WITHOUT ROWID;
        CREATE TABLE taxii_read (
            account TEXT NOT NULL,
            collection INTEGER NOT NULL,
            first_seq INTEGER NOT NULL,
            last_seq INTEGER NOT NULL,
            requests INTEGER NOT NULL,
            first_at INTEGER NOT NULL,
            last_at INTEGER NOT NULL,
            PRIMARY KEY (account, collection, first_seq)
        ) WITHOUT ROWID;
        """,
    ),
    (
        "0003_own",
        """
        CREATE TABLE setting (
            name TEXT PRIMARY KEY,
            value BLOB NOT NULL
        );
        CREATE TABLE observation (
            observable INTEGER NOT NULL,
            role TEXT NOT NULL,
            sensor TEXT NOT NULL,
            kind INTEGER NOT NULL,
            value TEXT NOT NULL,
            why TEXT NOT NULL,
            first_seen INTEGER NOT NULL,
            last_seen INTEGER NOT NULL,
            count INTEGER NOT NULL,
            confidence INTEGER,
            techniques TEXT NOT NULL,
            tlp INTEGER,
            PRIMARY KEY (observable, role, sensor)
        );
        CREATE INDEX observation_unknown ON observation (observable) WHERE role = 'unknown';
        CREATE TABLE decision (
            number INTEGER PRIMARY KEY,
            at INTEGER NOT NULL,
            person TEXT NOT NULL,
            reason TEXT NOT NULL,
            action TEXT NOT NULL,
            role TEXT,
            scope TEXT NOT NULL,
            standing INTEGER NOT NULL,
            covered INTEGER NOT NULL
        );
        CREATE INDEX decision_standing ON decision (number) WHERE standing;
        CREATE TABLE decided_role (
            observable INTEGER NOT NULL,
            sensor TEXT NOT NULL,
            decision INTEGER NOT NULL,
            PRIMARY KEY (observable, sensor)
        ) WITHOUT ROWID;
        CREATE INDEX decided_role_decision ON decided_role (decision);
        CREATE TABLE decided_release (
            collection INTEGER NOT NULL,
            object_id TEXT NOT NULL,
            rule TEXT NOT NULL,
            decision INTEGER NOT NULL,
            PRIMARY KEY (collection, object_id, rule)
        ) WITHOUT ROWID;
        CREATE TABLE removal (
            number INTEGER PRIMARY KEY,
            at INTEGER NOT NULL,
            rule TEXT NOT NULL,
            part TEXT NOT NULL,
            place TEXT NOT NULL,
            digest TEXT NOT NULL
        );
        CREATE TABLE own_change (
            object INTEGER PRIMARY KEY,
            seq INTEGER NOT NULL
        );
        CREATE UNIQUE INDEX own_change_seq ON own_change (seq);
        CREATE TABLE release (
            collection INTEGER NOT NULL,
            object_id TEXT NOT NULL,
            version INTEGER NOT NULL,
            digest BLOB NOT NULL,
            verdict TEXT NOT NULL,
            reasons TEXT NOT NULL,
            policy BLOB NOT NULL,
            at INTEGER NOT NULL,
            life INTEGER NOT NULL,
            created INTEGER NOT NULL,
            PRIMARY KEY (collection, object_id)
        ) WITHOUT ROWID;
        CREATE INDEX release_held ON release (collection) WHERE verdict = 'hold';
        CREATE TABLE publish_position (
            collection INTEGER PRIMARY KEY,
            seq INTEGER NOT NULL,
            policy BLOB NOT NULL
        );
        CREATE TABLE feed_state (
            feed TEXT PRIMARY KEY,
            cursor TEXT,
            last_run INTEGER,
            last_success INTEGER,
            next_run INTEGER,
            failures INTEGER NOT NULL DEFAULT 0,
            report TEXT
        );
        CREATE TABLE job (
            name TEXT PRIMARY KEY,
            last_run INTEGER NOT NULL,
            next_run INTEGER NOT NULL,
            report TEXT NOT NULL
        );
        CREATE TABLE reject (
            number INTEGER PRIMARY KEY,
            at INTEGER NOT NULL,
            origin TEXT NOT NULL,
            place TEXT NOT NULL,
            reason TEXT NOT NULL,
            text TEXT NOT NULL
        );
        CREATE TABLE followed (
            path BLOB NOT NULL,
            item TEXT NOT NULL,
            state TEXT NOT NULL,
            PRIMARY KEY (path, item)
        ) WITHOUT ROWID;
        CREATE TABLE posted (
            account TEXT NOT NULL,
            digest BLOB NOT NULL,
            at INTEGER NOT NULL,
            answer BLOB NOT NULL,
            PRIMARY KEY (account, digest)
        ) WITHOUT ROWID;
        CREATE INDEX posted_at ON posted (at);
        """,
    ),
    (
        "0004_ledger",
        """
        CREATE TABLE ledger_terms (
            number INTEGER PRIMARY KEY,
            text TEXT NOT NULL UNIQUE
        ) STRICT;
        CREATE TABLE ledger (
            number INTEGER PRIMARY KEY,
            at INTEGER NOT NULL,
            terms INTEGER NOT NULL,
            entry INTEGER NOT NULL,
            object ANY NOT NULL,
            version INTEGER NOT NULL,
            digest BLOB NOT NULL,
            hash BLOB NOT NULL
        ) STRICT;
        """,
    ),
    (
        "0005_push",
        """
        CREATE TABLE push_target (
            name TEXT PRIMARY KEY,
            destination BLOB NOT NULL,
            collection INTEGER NOT NULL,
            position INTEGER NOT NULL DEFAULT 0,
            reached INTEGER NOT NULL DEFAULT 0,
            last_run INTEGER,
            last_success INTEGER,
            not_before INTEGER,
            failures INTEGER NOT NULL DEFAULT 0,
            parked BLOB,
            report TEXT
        );
        CREATE TABLE delivery (
            number INTEGER PRIMARY KEY,
            target TEXT NOT NULL,
            collection INTEGER NOT NULL,
            first_seq INTEGER NOT NULL,
            last_seq INTEGER NOT NULL,
            again INTEGER NOT NULL,
            objects INTEGER NOT NULL,
            at INTEGER NOT NULL,
            state TEXT NOT NULL,
            polled INTEGER,
            status_id TEXT,
            accepted INTEGER NOT NULL DEFAULT 0,
            pending INTEGER NOT NULL DEFAULT 0,
            failed INTEGER NOT NULL DEFAULT 0,
            tries INTEGER NOT NULL DEFAULT 0,
            error TEXT
        );
        CREATE UNIQUE INDEX delivery_sending ON delivery (target) WHERE state = 'sending';
        CREATE INDEX delivery_pending ON delivery (target) WHERE state = 'pending';
        CREATE INDEX delivery_target ON delivery (target, number);
        CREATE INDEX delivery_seq ON delivery (collection, first_seq);
        CREATE TABLE undelivered (
            target TEXT NOT NULL,
            seq INTEGER NOT NULL,
            object_id TEXT NOT NULL,
            version INTEGER NOT NULL,
            kind TEXT NOT NULL,
            message TEXT NOT NULL,
            tries INTEGER NOT NULL,
            at INTEGER NOT NULL,
            delivery INTEGER,
            PRIMARY KEY (target, seq)
        ) WITHOUT ROWID;
        CREATE INDEX undelivered_delivery ON undelivered (delivery) WHERE delivery IS NOT NULL;
        """,
    ),
    (
        "0006_agreements",
        """
        CREATE TABLE agreement_version (
            number INTEGER PRIMARY KEY,
            partner TEXT NOT NULL,
            version INTEGER NOT NULL,
            digest TEXT NOT NULL,
            text TEXT NOT NULL,
            since INTEGER NOT NULL,
            until INTEGER
        );
        CREATE INDEX agreement_version_partner ON agreement_version (partner, number);
        CREATE UNIQUE INDEX agreement_version_current ON agreement_version (partner) WHERE until IS NULL;
        """,
    ),
    (
        "0007_partners",
        """
        CREATE TABLE partner_checkin (
            number INTEGER PRIMARY KEY,
            partner TEXT NOT NULL,
            begins INTEGER NOT NULL,
            ends INTEGER NOT NULL,
            at INTEGER NOT NULL,
            person TEXT NOT NULL,
            note TEXT NOT NULL
        );
        CREATE INDEX partner_checkin_partner ON partner_checkin (partner, number);
        CREATE TABLE contact_verification (
            number INTEGER PRIMARY KEY,
            partner TEXT NOT NULL,
            role TEXT NOT NULL,
            name TEXT NOT NULL,
            channel TEXT NOT NULL,
            verified_on TEXT NOT NULL,
            at INTEGER NOT NULL,
            person TEXT NOT NULL,
            note TEXT NOT NULL
        );
        CREATE INDEX contact_verification_partner ON contact_verification (partner, number);
        """,
    ),
    (
        "0008_exercises",
        """
        CREATE TABLE exercise (
            name TEXT PRIMARY KEY,
            year INTEGER NOT NULL,
            marking TEXT NOT NULL UNIQUE,
            tlp INTEGER NOT NULL,
            collection INTEGER NOT NULL UNIQUE,
            until TEXT NOT NULL,
            share_at_once INTEGER NOT NULL,
            started INTEGER NOT NULL,
            started_by TEXT NOT NULL,
            ended INTEGER,
            ended_by TEXT,
            reason TEXT,
            purged INTEGER,
            report TEXT
        );
        CREATE TABLE exercise_partner (
            exercise TEXT NOT NULL,
            partner TEXT NOT NULL,
            agreement_version INTEGER NOT NULL,
            agreement_digest TEXT NOT NULL,
            PRIMARY KEY (exercise, partner)
        ) WITHOUT ROWID;
        CREATE INDEX exercise_partner_partner ON exercise_partner (partner);
        CREATE TABLE exercise_inject (
            exercise TEXT NOT NULL,
            number INTEGER NOT NULL,
            key INTEGER NOT NULL,
            kind INTEGER NOT NULL,
            value TEXT NOT NULL,
            object_id TEXT NOT NULL,
            techniques TEXT NOT NULL,
            at INTEGER NOT NULL,
            detected INTEGER,
            sensor TEXT,
            seen INTEGER,
            shared INTEGER,
            entry INTEGER,
            PRIMARY KEY (exercise, number)
        ) WITHOUT ROWID;
        CREATE UNIQUE INDEX exercise_inject_key ON exercise_inject (exercise, key);
        CREATE INDEX exercise_inject_object ON exercise_inject (object_id);
        CREATE TABLE exercise_feedback (
            number INTEGER PRIMARY KEY,
            exercise TEXT NOT NULL,
            account TEXT NOT NULL,
            partner TEXT NOT NULL,
            at INTEGER NOT NULL,
            type TEXT NOT NULL,
            object_id TEXT NOT NULL,
            said TEXT NOT NULL,
            inject INTEGER
        );
        CREATE INDEX exercise_feedback_exercise ON exercise_feedback (exercise, inject);
        CREATE TABLE exercise_marking (
            source INTEGER NOT NULL,
            ref TEXT NOT NULL,
            PRIMARY KEY (source, ref)
        ) WITHOUT ROWID;
        CREATE TABLE exercise_object (
            object INTEGER PRIMARY KEY,
            source INTEGER NOT NULL,
            stix_id TEXT NOT NULL,
            at INTEGER NOT NULL
        );
        CREATE TABLE exercise_value (
            key INTEGER NOT NULL,
            object INTEGER NOT NULL,
            kind INTEGER NOT NULL,
            value TEXT NOT NULL,
            PRIMARY KEY (key, object)
        ) WITHOUT ROWID;
        """,
    ),
    (
        "0009_people",
        """
        CREATE TABLE act (
            number INTEGER PRIMARY KEY,
            at INTEGER NOT NULL,
            told TEXT NOT NULL,
            hash BLOB NOT NULL
        ) STRICT;
        CREATE TABLE approval (
            collection INTEGER NOT NULL,
            object_id TEXT NOT NULL,
            hold TEXT NOT NULL,
            decision INTEGER NOT NULL,
            ended INTEGER,
            PRIMARY KEY (collection, object_id, hold, decision)
        ) WITHOUT ROWID;
        CREATE INDEX approval_decision ON approval (decision);
        ALTER TABLE decision ADD COLUMN login TEXT;
        ALTER TABLE agreement_version ADD COLUMN interim INTEGER NOT NULL DEFAULT 0;
        CREATE TABLE agreement_confirmation (
            number INTEGER PRIMARY KEY,
            partner TEXT NOT NULL,
            digest TEXT NOT NULL,
            base INTEGER NOT NULL,
            at INTEGER NOT NULL,
            person TEXT NOT NULL,
            login TEXT,
            reason TEXT NOT NULL
        );
        CREATE INDEX agreement_confirmation_partner ON agreement_confirmation (partner, digest);
        """,
    ),
    (
        "0010_accounts",
        """
        ALTER TABLE account ADD COLUMN expires INTEGER;
        ALTER TABLE account ADD COLUMN metrics INTEGER NOT NULL DEFAULT 0;
        CREATE TABLE account_certificate (
            fingerprint BLOB PRIMARY KEY,
            account TEXT NOT NULL,
            created INTEGER NOT NULL
        ) WITHOUT ROWID;
        CREATE INDEX account_certificate_account ON account_certificate (account);
        """,
    ),
    (
        "0011_incidents",
        """
        CREATE TABLE incident (
            number INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            created INTEGER NOT NULL
        );
        CREATE TABLE incident_reference (
            object_id TEXT NOT NULL,
            incident INTEGER NOT NULL,
            PRIMARY KEY (object_id, incident)
        ) WITHOUT ROWID;
        CREATE INDEX incident_reference_incident ON incident_reference (incident);
        CREATE TABLE incident_due (
            collection INTEGER NOT NULL,
            incident INTEGER NOT NULL,
            PRIMARY KEY (collection, incident)
        ) WITHOUT ROWID;
        CREATE TABLE incident_held (
            collection INTEGER NOT NULL,
            incident INTEGER NOT NULL,
            edition TEXT NOT NULL,
            named TEXT NOT NULL,
            PRIMARY KEY (collection, incident)
        ) WITHOUT ROWID;
        CREATE TABLE waiting_version (
            collection INTEGER NOT NULL,
            object_id TEXT NOT NULL,
            reasons TEXT NOT NULL,
            PRIMARY KEY (collection, object_id)
        ) WITHOUT ROWID;
        CREATE TABLE feedback (
            number INTEGER PRIMARY KEY,
            told TEXT NOT NULL,
            at INTEGER NOT NULL,
            person TEXT NOT NULL,
            reason TEXT NOT NULL,
            observable INTEGER,
            value TEXT NOT NULL,
            ground TEXT,
            count INTEGER NOT NULL,
            first_seen INTEGER NOT NULL,
            last_seen INTEGER NOT NULL,
            undone_at INTEGER,
            undone_person TEXT,
            undone_reason TEXT
        );
        CREATE INDEX feedback_observable ON feedback (observable, told) WHERE observable IS NOT NULL;
        CREATE INDEX feedback_object ON feedback (value) WHERE observable IS NULL;
        """,
    ),
    (
        "0012_collections",
        """
        ALTER TABLE collection ADD COLUMN root TEXT NOT NULL DEFAULT 'api';
        ALTER TABLE collection ADD COLUMN view TEXT NOT NULL DEFAULT '{}';
        ALTER TABLE taxii_status ADD COLUMN root TEXT NOT NULL DEFAULT 'api';
        CREATE TABLE api_root (
            name TEXT PRIMARY KEY,
            title TEXT NOT NULL UNIQUE
        );
        CREATE TABLE opinion (
            observable INTEGER NOT NULL,
            source INTEGER NOT NULL,
            object INTEGER NOT NULL,
            modified INTEGER NOT NULL,
            value TEXT NOT NULL,
            PRIMARY KEY (observable, source)
        ) WITHOUT ROWID;
        CREATE INDEX opinion_object ON opinion (object);
        """,
    ),
    (
        "0013_pages",
        """
        CREATE TABLE entry_block (
            id INTEGER PRIMARY KEY,
            begins BLOB NOT NULL,
            bodies BLOB NOT NULL
        );
        CREATE INDEX entry_superseded ON entry (id) WHERE superseded = 1;
        """,
    ),
    (
        "0014_listings",
        """
        CREATE TABLE listed (
            id INTEGER PRIMARY KEY,
            since INTEGER NOT NULL,
            said INTEGER NOT NULL,
            gone INTEGER,
            seen INTEGER,
            confidence INTEGER,
            text TEXT
        );
        """,
    ),
    (
        "0015_disguises",
        """
        CREATE TABLE face (
            number INTEGER PRIMARY KEY,
            identity TEXT NOT NULL UNIQUE
        );
        CREATE TABLE served_as (
            collection INTEGER NOT NULL,
            object_id TEXT NOT NULL,
            life INTEGER NOT NULL,
            served_id TEXT NOT NULL,
            face INTEGER NOT NULL,
            PRIMARY KEY (object_id, collection, life)
        ) WITHOUT ROWID;
        CREATE INDEX served_as_id ON served_as (served_id);
        """,
    ),
    (
        "0016_links",
        """
        CREATE TABLE link (
            object INTEGER NOT NULL,
            maker INTEGER NOT NULL,
            other INTEGER NOT NULL,
            relation TEXT NOT NULL,
            PRIMARY KEY (object, maker, other)
        ) WITHOUT ROWID;
        CREATE INDEX link_maker ON link (maker);
        """,
    ),
    (
        "0017_feeds",
        """
        ALTER TABLE feed_state ADD COLUMN rests_until INTEGER;
        CREATE TABLE feed_run (
            number INTEGER PRIMARY KEY,
            feed TEXT NOT NULL,
            began INTEGER NOT NULL,
            objects INTEGER NOT NULL,
            first INTEGER NOT NULL,
            doubted INTEGER NOT NULL,
            report TEXT NOT NULL
        );
        CREATE INDEX feed_run_feed ON feed_run (feed, number);
        CREATE INDEX feed_run_objects ON feed_run (feed, number) WHERE objects > 0;
        CREATE TABLE feed_total (
            feed TEXT PRIMARY KEY,
            runs INTEGER NOT NULL,
            failed INTEGER NOT NULL,
            objects INTEGER NOT NULL,
            new INTEGER NOT NULL,
            changed INTEGER NOT NULL,
            withdrawn INTEGER NOT NULL,
            rejected INTEGER NOT NULL,
            bytes INTEGER NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE feed_alarm (
            number INTEGER PRIMARY KEY,
            feed TEXT NOT NULL,
            kind TEXT NOT NULL,
            text TEXT NOT NULL,
            about TEXT NOT NULL,
            first INTEGER NOT NULL,
            last INTEGER NOT NULL,
            times INTEGER NOT NULL,
            acknowledged INTEGER,
            person TEXT,
            reason TEXT
        );
        CREATE INDEX feed_alarm_feed ON feed_alarm (feed, kind, number);
        CREATE TABLE feed_lease (
            feed TEXT PRIMARY KEY,
            owner TEXT NOT NULL,
            process TEXT NOT NULL,
            taken INTEGER NOT NULL,
            expires INTEGER NOT NULL
        ) WITHOUT ROWID;
        CREATE INDEX observable_own ON observable (number) WHERE cap = 'own-asset';
        """,
    ),
    (
        "0020_restatements",
        """
        CREATE TABLE restatement (
            source INTEGER PRIMARY KEY,
            position INTEGER NOT NULL
        );
        """,
    ),
    (
        "0021_repeated_rejects",
        """
        ALTER TABLE reject ADD COLUMN digest INTEGER;
        ALTER TABLE reject ADD COLUMN times INTEGER NOT NULL DEFAULT 1;
        CREATE UNIQUE INDEX reject_same ON reject (origin, digest);
        """,
    ),
    (
        "0022_exercise_exclusions",
        """
        CREATE TABLE exercise_exclusion (
            number INTEGER PRIMARY KEY,
            exercise TEXT NOT NULL,
            partner TEXT NOT NULL,
            rights TEXT NOT NULL,
            reason TEXT NOT NULL,
            at INTEGER NOT NULL,
            lifted INTEGER,
            lifted_by TEXT
        );
        CREATE UNIQUE INDEX exercise_exclusion_open ON exercise_exclusion (exercise, partner) WHERE lifted IS NULL;
        """,
    ),
    (
        "0023_exchange_past",
        """
        CREATE TABLE exchange_past (
            collection INTEGER NOT NULL,
            object_id TEXT NOT NULL,
            version INTEGER NOT NULL,
            owner TEXT NOT NULL,
            digest BLOB NOT NULL,
            PRIMARY KEY (collection, object_id, version)
        ) WITHOUT ROWID;
        """,
    ),
)
