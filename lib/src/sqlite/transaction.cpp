// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/bounds.hpp"
#include "core/failpoint.hpp"
#include "sqlite/store.hpp"
#include "sqlite/verbs.hpp"

namespace jobruntime::sqlite {
namespace {

Error no_good(std::string why) { return {Errc::invalid_argument, std::move(why)}; }

class CallersTransaction final : public Transaction {
public:
    CallersTransaction(SqliteStore& store, sqlite3* caller) : store_(store), caller_(caller) {}

    Result<std::vector<InsertAnswer>> insert(std::span<const NewJob> jobs, Time now) override;
    void committed() noexcept override;

private:
    SqliteStore& store_;
    sqlite3* caller_;
    unsigned hints_ = 0;
};

Result<std::vector<InsertAnswer>> CallersTransaction::insert(std::span<const NewJob> jobs, Time now) {
    JR_TRY(core::check_batch(jobs));
    if (sqlite3_get_autocommit(caller_)) return no_good("the transaction that began here is over; begin a new one");
    const InsertPlan plan(jobs);
    std::vector<InsertAnswer> answers;
    bool saved = false;
    try {
        // Statements and remembered names live for one call: the caller may roll back to a savepoint of its own
        // between two, and may close its connection when the transaction is over.
        auto connection = Connection::borrow(caller_);
        Writer writer(connection, store_.source());
        connection.exec("SAVEPOINT jobrt_insert");
        saved = true;
        writer.start();
        insert_jobs(writer, plan, now, answers);
        writer.finish();
        connection.exec("RELEASE jobrt_insert");
        hints_ |= writer.take_hints();
    } catch (const Failure& failure) {
        if (saved && !sqlite3_get_autocommit(caller_))
            sqlite3_exec(caller_, "ROLLBACK TO jobrt_insert; RELEASE jobrt_insert", nullptr, nullptr, nullptr);
        return failure.error;
    }
    static_cast<void>(JOBRT_FAILPOINT("sqlite.transaction.inserted"));
    return answers;
}

void CallersTransaction::committed() noexcept { store_.tell(std::exchange(hints_, 0u)); }

int synchronous_of(sqlite3* caller) {
    auto connection = Connection::borrow(caller);
    Query row = connection.cached("PRAGMA main.synchronous").query();
    return row.next() ? static_cast<int>(row.number(0)) : 0;
}

}  // namespace

Result<std::unique_ptr<Transaction>> SqliteStore::begin(sqlite3* caller) {
    JR_TRY(usable());
    if (!caller) return no_good("there is no connection; open one on " + path_);
    const char* file = sqlite3_db_filename(caller, "main");
    if (!file || !*file || !same_file(file, path_)) {
        return no_good("the connection's main database is not " + path_ +
                       "; only a transaction on the same file can be one with the store's");
    }
    if (sqlite3_get_autocommit(caller)) return no_good("the connection is in no transaction; BEGIN IMMEDIATE one first");
    try {
        constexpr int full = 2, normal = 1;
        if (synchronous_of(caller) < (durability_ == Durability::full ? full : normal)) {
            return no_good("the connection's PRAGMA synchronous is weaker than this store promises; set it to " +
                           std::string(durability_ == Durability::full ? "FULL" : "NORMAL"));
        }
    } catch (const Failure& failure) {
        return failure.error;
    }
    return std::unique_ptr<Transaction>(std::make_unique<CallersTransaction>(*this, caller));
}

}  // namespace jobruntime::sqlite
