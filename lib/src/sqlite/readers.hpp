// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <jobruntime/result.hpp>

#include "sqlite/sql.hpp"
#include "sqlite/writer.hpp"

namespace jobruntime::sqlite {

/// A few connections that only read, so that reading never waits for the write turn. Each use is one
/// short transaction: a long one would keep the write-ahead log from being emptied.
class Readers {
public:
    Readers(std::string path, std::string vfs, Duration busy_timeout)
        : path_(std::move(path)), vfs_(std::move(vfs)), busy_timeout_(busy_timeout) {}

    /// Whether the store lives is asked by way of a place more, so that slow questions in all others do not look like a
    /// store that hangs.
    enum class Place : std::size_t { usual = 4, further = 5 };

    /// What `use(connection, words)` answers, seen at one moment.
    template <class Use>
    auto read(Use use, Place place = Place::usual)
        -> Result<decltype(use(std::declval<Connection&>(), std::declval<Words&>()))> {
        try {
            auto reader = take(place);
            try {
                reader->connection.cached("BEGIN").run();
                auto answer = use(reader->connection, reader->words);
                reader->connection.cached("COMMIT").run();
                give_back(std::move(reader));
                return answer;
            } catch (...) {
                dropped();
                throw;
            }
        } catch (const Failure& failure) {
            return failure.error;
        }
    }
    /// As Store::stamp.
    std::optional<std::uint64_t> stamp();
    /// A connection for somebody who keeps it.
    std::unique_ptr<Connection> open() const;

private:
    struct Reader {
        explicit Reader(Connection opened) : connection(std::move(opened)), words(connection) {}
        Connection connection;
        Words words;
    };
    static constexpr std::size_t most_idle = 2;

    std::unique_ptr<Reader> take(Place place);
    void give_back(std::unique_ptr<Reader> reader);
    void dropped();

    std::string path_;
    std::string vfs_;
    Duration busy_timeout_;
    std::mutex mutex_;
    std::condition_variable free_;
    std::vector<std::unique_ptr<Reader>> idle_;  // Guarded by mutex_.
    std::size_t used_ = 0;                       // Guarded by mutex_.

    std::mutex watch_mutex_;
    std::unique_ptr<Connection> watch_;  // Guarded by watch_mutex_. It never writes, so that each commit is another's.
    std::uint64_t watches_ = 0;          // Guarded by watch_mutex_.
};

}  // namespace jobruntime::sqlite
