// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <sqlite3.h>

#include <jobruntime/sqlite.hpp>

#include "core/ids.hpp"

namespace jobruntime::sqlite::test {

using namespace std::chrono_literals;

inline constexpr Time noon{Duration{1'750'000'000'000}};

/// A folder of its own, gone at the end.
class Scratch {
public:
    Scratch() {
        std::string name = (std::filesystem::temp_directory_path() / "jobrt-sqlite-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path_ = name;
    }
    Scratch(const Scratch&) = delete;
    ~Scratch() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    std::string operator/(const std::string& name) const { return path_ + "/" + name; }
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

inline std::string name_of(const Error& error) {
    return std::string(to_string(error.code)) + " " + error.name + ": " + error.message;
}

/// The value, or the test ends with what the error says.
template <class T>
T must(Result<T> result) {
    REQUIRE_MESSAGE(result.has_value(), (result ? std::string() : name_of(result.error())));
    return std::move(*result);
}

inline Options small_options() {
    Options options;
    options.ballast_bytes = 0;
    return options;
}

inline std::unique_ptr<Store> open_store(const std::string& path, Options options = small_options()) {
    return must(open(path, std::move(options)));
}

inline NewJob new_job(const std::string& kind = "test.kind") {
    static core::IdSource ids;
    NewJob job;
    job.id = ids.job(noon);
    job.kind = kind;
    job.run_at = noon;
    return job;
}

inline SessionId new_session() {
    static core::IdSource ids;
    return ids.session(noon);
}

inline JobId insert_one(jobruntime::Inserter& store, const NewJob& job = new_job()) {
    const auto answers = must(store.insert({&job, 1}, noon));
    REQUIRE(answers.size() == 1);
    REQUIRE(!answers[0].refused);
    return answers[0].id;
}

inline void begin_session(jobruntime::Store& store, SessionId session) {
    SessionFacts facts;
    facts.works = true;
    static_cast<void>(must(store.beat(session, facts, noon)));
}

inline std::vector<Job> claim_some(jobruntime::Store& store, SessionId session, int limit = 1,
                                   const std::string& kind = "test.kind") {
    const std::vector<Want> wants{{"default", {kind}, limit}};
    return must(store.claim(wants, session, ClaimMode::ordinary, noon)).jobs;
}

inline bool complete(jobruntime::Store& store, const Job& job) {
    const Settlement done{.job = job.id, .fence = job.fence};
    return must(store.settle({&done, 1}, noon)).front().done;
}

/// Looks until it holds, for at most `patience`.
inline bool soon(const std::function<bool()>& holds, Duration patience = 60s) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!holds()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(2ms);
    }
    return true;
}

inline std::string content(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// A connection as a caller of the library has it.
class Caller {
public:
    explicit Caller(const std::string& path) { REQUIRE(sqlite3_open(path.c_str(), &db_) == SQLITE_OK); }
    Caller(const Caller&) = delete;
    ~Caller() { sqlite3_close(db_); }
    void exec(const std::string& sql) {
        const int code = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
        REQUIRE_MESSAGE(code == SQLITE_OK, sql << ": " << sqlite3_errmsg(db_));
    }
    std::int64_t number(const std::string& sql) {
        sqlite3_stmt* statement = nullptr;
        REQUIRE_MESSAGE(sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr) == SQLITE_OK, sqlite3_errmsg(db_));
        const auto value = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : -1;
        sqlite3_finalize(statement);
        return value;
    }
    sqlite3* raw() { return db_; }

private:
    sqlite3* db_ = nullptr;
};

}  // namespace jobruntime::sqlite::test
