// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
//
// The order and the job that ships it are one transaction on the same SQLite file: both are there, or neither.
#include <iostream>

#include <sqlite3.h>

#include <jobruntime/jobruntime.hpp>
#include <jobruntime/sqlite.hpp>

using namespace jobruntime;
using namespace std::chrono_literals;

struct Ship { static constexpr auto kind = "order.ship"; std::int64_t order = 0; };
BOOST_DESCRIBE_STRUCT(Ship, (), (order))

void run(sqlite3* db, const char* sql) {
    if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) != SQLITE_OK) throw std::runtime_error(sqlite3_errmsg(db));
}

int main() {
    auto store = sqlite::open("shop.db").value();
    JobQueue queue(*store);

    sqlite3* db = nullptr;
    if (sqlite3_open("shop.db", &db) != SQLITE_OK) return 1;
    run(db, "PRAGMA synchronous = FULL");
    run(db, "CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT)");

    JobId job;
    for (const bool pays : {false, true}) {
        run(db, "BEGIN IMMEDIATE");
        run(db, "INSERT INTO orders (what) VALUES ('a book')");
        auto transaction = store->begin(db).value();
        job = queue.within(*transaction).enqueue(Ship{sqlite3_last_insert_rowid(db)}).value().id;
        run(db, pays ? "COMMIT" : "ROLLBACK");
        if (pays) transaction->committed();
    }

    const auto jobs = queue.count({}, CountBy::nothing).value().front().count;
    const auto ship = queue.get(job).value().value();
    std::cout << jobs << " job: ship order " << ship.payload.at("order") << '\n';
    sqlite3_close(db);
    return jobs == 1 ? 0 : 1;
}
