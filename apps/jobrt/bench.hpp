// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/result.hpp>
#include <jobruntime/store.hpp>

namespace jobruntime::jobrt {

/// What one workload is to do.
struct BenchPlan {
    std::string folder;      ///< Empty, private to this run.
    bool full = true;        ///< Acknowledged = on disk; else = survives a killed process.
    double scale = 1;        ///< Of the counts.
    std::string program;     ///< This program, for workloads with a second process.
    std::string number;      ///< Of the command that measures, for names on a server.
    std::string mongo;       ///< Of a MongoDB server, without a database; empty = SQLite in `folder`.
    std::string server;      ///< What that server says of itself; printed with every figure.

    /// Where a workload's store lies: one of its own for each `name`.
    std::string address(std::string_view name) const;
    int count(int jobs) const { return std::max(64, static_cast<int>(jobs * scale)); }
};

/// One line of output.
struct BenchFigure {
    std::string workload;
    double value = 0;
    std::string unit = "jobs/s";
    std::optional<double> p50_ms, p99_ms;
    long n = 0;
    double rss_mb = 0;
    std::string setting;     ///< "full", "normal"; "raw-full", "minimal-full" … for bare statements.
};

struct BenchWorkload {
    std::string_view name;
    Result<BenchFigure> (*run)(const BenchPlan&);
    Result<BenchFigure> (*raw)(const BenchPlan&);      ///< The same rows by bare statements on our schema; may be null.
    Result<BenchFigure> (*minimal)(const BenchPlan&);  ///< On one bare table; may be null.
};
const std::vector<BenchWorkload>& bench_workloads();

// Shared by the files of the benchmark.
using BenchClock = std::chrono::steady_clock;
double seconds_since(BenchClock::time_point begin);
/// Sorts `ms` and fills in the percentiles.
void percentiles(std::vector<double>& ms, BenchFigure& figure);
double resident_mb();

Result<BenchFigure> raw_bulk(const BenchPlan& plan);
Result<BenchFigure> raw_single(const BenchPlan& plan);
Result<BenchFigure> raw_grouped_by_8(const BenchPlan& plan);
Result<BenchFigure> raw_drain_by_1000(const BenchPlan& plan);
Result<BenchFigure> raw_drain_by_10(const BenchPlan& plan);
Result<BenchFigure> minimal_bulk(const BenchPlan& plan);
Result<BenchFigure> minimal_single(const BenchPlan& plan);
Result<BenchFigure> minimal_grouped_by_8(const BenchPlan& plan);
Result<BenchFigure> minimal_drain_by_1000(const BenchPlan& plan);
Result<BenchFigure> minimal_drain_by_10(const BenchPlan& plan);

/// The URI with `database` in it. Errc::invalid_argument: it names one already.
Result<std::string> with_database(const std::string& uri, const std::string& database);
/// Name and version of the server, by its own words: figures of a server that only speaks as MongoDB must not pass for
/// MongoDB's.
Result<std::string> server_name(const std::string& uri);
/// A store at BenchPlan::address.
Result<std::unique_ptr<Store>> open_bench_store(const std::string& address, bool full);

/// The second process of W4_pickup_xproc: enqueues `jobs` jobs, one every few milliseconds, and prints
/// "id nanoseconds" after each commit, by the machine's steady clock.
int bench_enqueuer(const std::string& address, int jobs);

}  // namespace jobruntime::jobrt
