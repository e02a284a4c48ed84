-- With WAL and NORMAL a killed process loses nothing that it committed; a power cut may.
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS shops (
    shop_id TEXT PRIMARY KEY, secret TEXT NOT NULL, active INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS profiles (
    profile INTEGER PRIMARY KEY, shop TEXT NOT NULL, fields JSON_TEXT NOT NULL DEFAULT '{}',
    custom JSON_TEXT NOT NULL DEFAULT '{}', computed JSON_TEXT NOT NULL DEFAULT '{}'
);
-- Each value names one profile, and a profile has one value of each kind.
CREATE TABLE IF NOT EXISTS identifiers (
    shop TEXT, kind TEXT, value TEXT, shown TEXT NOT NULL,
    profile INTEGER NOT NULL REFERENCES profiles,
    PRIMARY KEY (shop, kind, value), UNIQUE (profile, kind)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS devices (
    shop TEXT, did TEXT, profile INTEGER NOT NULL REFERENCES profiles, seance TEXT,
    PRIMARY KEY (shop, did)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS devices_of_profile ON devices (profile);
CREATE TABLE IF NOT EXISTS properties (
    shop TEXT, name TEXT, public INTEGER NOT NULL, PRIMARY KEY (shop, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS products (
    shop TEXT, id TEXT, product JSON_TEXT NOT NULL, PRIMARY KEY (shop, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS orders (
    number INTEGER PRIMARY KEY, shop TEXT NOT NULL, id TEXT NOT NULL, profile INTEGER NOT NULL,
    date INTEGER NOT NULL, body JSON_TEXT NOT NULL, UNIQUE (shop, id)
);
CREATE INDEX IF NOT EXISTS orders_of_profile ON orders (profile, date, number);
CREATE TABLE IF NOT EXISTS suppressed (
    shop TEXT, email TEXT, PRIMARY KEY (shop, email)
) WITHOUT ROWID;
-- The entries of imports that were accepted and are not applied yet.
CREATE TABLE IF NOT EXISTS queue (
    number INTEGER PRIMARY KEY, shop TEXT NOT NULL, endpoint TEXT NOT NULL, segment INTEGER,
    body JSON_TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS ignored (reason TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
-- The profiles of which there is more than a device, each with every text that finds it.
CREATE VIEW IF NOT EXISTS known AS SELECT shop, profile, fields || custom || computed || (
    SELECT ifnull(group_concat(shown, ' '), '') FROM identifiers AS i WHERE i.profile = p.profile
) || (
    SELECT ifnull(group_concat(did, ' '), '') FROM devices AS d WHERE d.profile = p.profile
) AS texts
FROM profiles AS p WHERE fields <> '{}' OR custom <> '{}' OR computed <> '{}'
    OR EXISTS (SELECT 1 FROM identifiers AS i WHERE i.profile = p.profile);
CREATE VIEW IF NOT EXISTS counts AS SELECT shop_id AS shop,
    (SELECT count(*) FROM known WHERE shop = shop_id) AS profiles,
    (SELECT count(*) FROM devices WHERE shop = shop_id) AS devices,
    (SELECT count(*) FROM products WHERE shop = shop_id) AS products,
    (SELECT count(*) FROM orders WHERE shop = shop_id) AS orders,
    (SELECT count(*) FROM suppressed WHERE shop = shop_id) AS suppressed,
    (SELECT count(*) FROM queue WHERE shop = shop_id) AS queue
FROM shops;
