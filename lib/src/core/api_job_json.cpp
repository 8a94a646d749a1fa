// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <utility>
#include <vector>

#include <boost/json/array.hpp>

#include "core/api_impl.hpp"
#include "core/json.hpp"

namespace jobruntime {
namespace {

/// Behind the payload, in this order; a program may know some of them better.
constexpr std::array<std::string_view, 20> tail_names{
    "attempt",    "maxAttempts", "crashes",   "cancelRequestedAt", "progress", "result",    "outputPath",
    "thumbnailPath", "error",    "errorCode", "errors",            "waitingFor", "tags",    "uniqueKey",
    "traceId",    "workerId",    "createdAt", "runAt",             "startedAt",  "finishedAt"};

void append_text(std::string& out, std::string_view text) {
    constexpr char digits[] = "0123456789abcdef";
    out += '"';
    std::size_t begin = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto c = static_cast<unsigned char>(text[i]);
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        out.append(text, begin, i - begin);
        begin = i + 1;
        switch (c) {
            case '"': out += "\\\""; break;
            case '\\': out += "\\\\"; break;
            case '\n': out += "\\n"; break;
            case '\r': out += "\\r"; break;
            case '\t': out += "\\t"; break;
            case '\b': out += "\\b"; break;
            case '\f': out += "\\f"; break;
            default:
                out += "\\u00";
                out += digits[c >> 4];
                out += digits[c & 15];
        }
    }
    out.append(text, begin);
    out += '"';
}

void append_number(std::string& out, std::int64_t value) {
    std::array<char, 24> digits;
    out.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr);
}

template <class List, class Append>
void append_all(std::string& out, const List& list, Append append) {
    out += '[';
    bool first = true;
    for (const auto& item : list) {
        if (!std::exchange(first, false)) out += ',';
        append(out, item);
    }
    out += ']';
}

void append_value(std::string& out, const boost::json::value& value);

void append_object(std::string& out, const boost::json::object& object) {
    out += '{';
    bool first = true;
    for (const auto& member : object) {
        if (!std::exchange(first, false)) out += ',';
        append_text(out, member.key());
        out += ':';
        append_value(out, member.value());
    }
    out += '}';
}

/// As core::to_text() has it, without a text of its own, which a list would have several of for each job.
void append_value(std::string& out, const boost::json::value& value) {
    switch (value.kind()) {
        case boost::json::kind::null: out += "null"; return;
        case boost::json::kind::bool_: out += value.get_bool() ? "true" : "false"; return;
        case boost::json::kind::int64: append_number(out, value.get_int64()); return;
        case boost::json::kind::string: append_text(out, value.get_string()); return;
        case boost::json::kind::array: append_all(out, value.get_array(), append_value); return;
        case boost::json::kind::object: append_object(out, value.get_object()); return;
        default: out += core::to_text(value);
    }
}

boost::json::value text_or_null(std::string_view text) {
    if (text.empty()) return nullptr;
    return boost::json::string(text);
}

boost::json::array errors_json(const std::vector<JobError>& errors) {
    boost::json::array list;
    list.reserve(errors.size());
    for (const auto& error : errors)
        list.push_back(boost::json::object{
            {"at", to_iso(error.at)}, {"attempt", error.attempt}, {"code", error.code}, {"message", error.message}});
    return list;
}

boost::json::object progress_json(const Progress& progress) {
    boost::json::object object{{"percent", nullptr}, {"stage", text_or_null(progress.stage)}, {"message", text_or_null(progress.message)}};
    if (progress.percent) object["percent"] = *progress.percent;
    return object;
}

/// A list of jobs is asked for often: its text is written as it goes, without a value between.
class TextSink {
public:
    explicit TextSink(std::string& out) : out_(out) {}
    void text(std::string_view name, std::string_view value) { append_text(key(name), value); }
    void number(std::string_view name, std::int64_t value) { append_number(key(name), value); }
    void value(std::string_view name, const boost::json::value& value) { append_value(key(name), value); }
    void null(std::string_view name) { key(name) += "null"; }
    void object(std::string_view name, const boost::json::object& object) { append_object(key(name), object); }
    void texts(std::string_view name, const std::vector<std::string>& texts) { append_all(key(name), texts, append_text); }
    void progress(std::string_view name, const Progress& progress) {
        if (progress == Progress()) key(name) += R"({"percent":null,"stage":null,"message":null})";
        else object(name, progress_json(progress));
    }
    void errors(std::string_view name, const std::vector<JobError>& errors) {
        if (errors.empty()) key(name) += "[]";
        else value(name, errors_json(errors));
    }

private:
    std::string& key(std::string_view name) {
        out_ += first_ ? "{\"" : ",\"";
        first_ = false;
        out_ += name;  // None of ours needs an escape, and a program's are names.
        return out_ += "\":";
    }
    std::string& out_;
    bool first_ = true;
};

class ObjectSink {
public:
    explicit ObjectSink(boost::json::object& out) : out_(out) { out_.reserve(32); }
    void text(std::string_view name, std::string_view value) { out_[name] = value; }
    void number(std::string_view name, std::int64_t value) { out_[name] = value; }
    void value(std::string_view name, const boost::json::value& value) { out_[name] = value; }
    void null(std::string_view name) { out_[name] = nullptr; }
    void object(std::string_view name, const boost::json::object& object) { out_[name] = object; }
    void texts(std::string_view name, const std::vector<std::string>& texts) { out_[name] = boost::json::array(texts.begin(), texts.end()); }
    void progress(std::string_view name, const Progress& progress) { out_[name] = progress_json(progress); }
    void errors(std::string_view name, const std::vector<JobError>& errors) { out_[name] = errors_json(errors); }

private:
    boost::json::object& out_;
};

/// The members of a job, one by one, in the order in which they are shown.
template <class Sink>
class Members {
public:
    Members(Sink& sink, const boost::json::object& added) : sink_(sink), added_(added) {}

    void tell(const Job& job, std::string_view waiting_for) {
        sink_.text("id", job.id.str());
        sink_.text("kind", job.kind);
        sink_.text("queue", job.queue);
        sink_.text("status", to_string(job.state));
        sink_.number("priority", job.priority);
        sink_.object("payload", job.payload);
        // What a program adds stands after the payload; what it knows better keeps its place.
        for (const auto& member : added_)
            if (std::ranges::find(tail_names, std::string_view(member.key())) == tail_names.end())
                sink_.value(member.key(), member.value());
        tell_tail(job, waiting_for);
    }

private:
    void tell_tail(const Job& job, std::string_view waiting_for) {
        const bool show_error = job.state != JobState::completed && !job.errors.empty();
        number("attempt", job.attempt);
        number("maxAttempts", job.max_attempts);
        number("crashes", job.crashes);
        time("cancelRequestedAt", job.cancel_requested_at);
        if (!is_known("progress")) sink_.progress("progress", job.progress);
        if (!is_known("result")) sink_.value("result", job.result);
        text("outputPath", {});
        text("thumbnailPath", {});
        text("error", show_error ? std::string_view(job.errors.back().message) : std::string_view());
        text("errorCode", show_error ? std::string_view(job.errors.back().code) : std::string_view());
        if (!is_known("errors")) sink_.errors("errors", job.errors);
        text("waitingFor", waiting_for);
        if (!is_known("tags")) sink_.texts("tags", job.tags);
        text("uniqueKey", job.unique_key);
        text("traceId", job.trace_id);
        text("workerId", job.session ? job.session.str() : std::string());
        time("createdAt", job.created_at);
        time("runAt", job.run_at);
        time("startedAt", job.started_at);
        time("finishedAt", job.finished_at);
    }

    /// Told already, as the program has it.
    bool is_known(std::string_view name) {
        const auto* better = added_.empty() ? nullptr : added_.if_contains(name);
        if (better) sink_.value(name, *better);
        return better;
    }
    void number(std::string_view name, std::int64_t value) {
        if (!is_known(name)) sink_.number(name, value);
    }
    void text(std::string_view name, std::string_view value) {
        if (is_known(name)) return;
        if (value.empty()) sink_.null(name);
        else sink_.text(name, value);
    }
    void time(std::string_view name, const std::optional<Time>& value) { text(name, value ? to_iso(*value) : std::string()); }

    Sink& sink_;
    const boost::json::object& added_;
};

template <class Sink>
void tell(Sink sink, const ApiOptions& options, const Job& job, std::string_view waiting_for) {
    boost::json::object added;
    if (options.decorate) options.decorate(job, added);
    Members<Sink>(sink, added).tell(job, waiting_for);
}

}  // namespace

boost::json::object ApiRouter::job_json(const Job& job, std::string_view waiting_for) const {
    boost::json::object object;
    tell(ObjectSink(object), impl_->options, job, waiting_for);
    return object;
}

void ApiRouter::Impl::append_job(std::string& text, const Job& job, std::string_view waiting_for) const {
    tell(TextSink(text), options, job, waiting_for);
    text += '}';
}

}  // namespace jobruntime
