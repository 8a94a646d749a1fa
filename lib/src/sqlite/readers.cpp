// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "sqlite/readers.hpp"

namespace jobruntime::sqlite {
namespace {

Connection open_reader(const std::string& path, const std::string& vfs, Duration busy_timeout) {
    auto connection = Connection::open(path, SQLITE_OPEN_READONLY, vfs);
    connection.set_busy_timeout(busy_timeout);
    connection.exec("PRAGMA cache_size = -512; PRAGMA temp_store = MEMORY");
    return connection;
}

}  // namespace

std::unique_ptr<Connection> Readers::open() const {
    return std::make_unique<Connection>(open_reader(path_, vfs_, busy_timeout_));
}

std::optional<std::uint64_t> Readers::stamp() {
    const std::scoped_lock lock(watch_mutex_);
    try {
        if (!watch_) {
            watch_ = open();
            ++watches_;
        }
        // Of each connection its own (https://www.sqlite.org/pragma.html#pragma_data_version), hence the count beside it.
        Query row = watch_->cached("PRAGMA data_version").query();
        if (row.next()) return watches_ << 32 | (static_cast<std::uint64_t>(row.number(0)) & 0xffff'ffffu);
    } catch (const Failure&) {
        watch_.reset();
    }
    return std::nullopt;
}

std::unique_ptr<Readers::Reader> Readers::take(Place place) {
    {
        std::unique_lock lock(mutex_);
        free_.wait(lock, [&] { return used_ < static_cast<std::size_t>(place); });
        ++used_;
        if (!idle_.empty()) {
            auto reader = std::move(idle_.back());
            idle_.pop_back();
            return reader;
        }
    }
    try {
        return std::make_unique<Reader>(open_reader(path_, vfs_, busy_timeout_));
    } catch (...) {
        dropped();
        throw;
    }
}

void Readers::give_back(std::unique_ptr<Reader> reader) {
    const std::scoped_lock lock(mutex_);
    --used_;
    if (idle_.size() < most_idle) idle_.push_back(std::move(reader));
    free_.notify_all();  // Not each of those who wait may take it.
}

void Readers::dropped() {
    const std::scoped_lock lock(mutex_);
    --used_;
    free_.notify_all();  // Not each of those who wait may take it.
}

}  // namespace jobruntime::sqlite
