// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <bson/bson.h>
#include <boost/json/value.hpp>

#include <jobruntime/clock.hpp>

namespace jobruntime::mongo {

/// A document being made. Each member adds one field and answers with the document, so that they can be
/// chained.
class Doc {
public:
    Doc() : raw_(bson_new()) {}
    explicit Doc(const bson_t* copied) : raw_(bson_copy(copied)) {}
    Doc(const Doc& other) : raw_(bson_copy(other.raw_)) {}
    Doc(Doc&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
    Doc& operator=(Doc other) noexcept {
        std::swap(raw_, other.raw_);
        return *this;
    }
    ~Doc() {
        if (raw_) bson_destroy(raw_);
    }

    Doc& text(std::string_view name, std::string_view value);
    /// Nothing for an empty text.
    Doc& text_if(std::string_view name, std::string_view value) {
        return value.empty() ? *this : text(name, value);
    }
    Doc& integer(std::string_view name, std::int32_t value);
    Doc& number(std::string_view name, std::int64_t value);
    Doc& real(std::string_view name, double value);
    Doc& flag(std::string_view name, bool value);
    Doc& time(std::string_view name, Time value);
    Doc& time_if(std::string_view name, const std::optional<Time>& value) {
        return value ? time(name, *value) : *this;
    }
    Doc& null(std::string_view name);
    Doc& bytes(std::string_view name, std::string_view value);
    Doc& doc(std::string_view name, const Doc& value);
    /// `value` has the names "0", "1", …, as List makes them.
    Doc& list(std::string_view name, const Doc& value);
    /// All fields of another document.
    Doc& all_of(const Doc& other);
    /// A JSON value; as text under `name` + "Text" where BSON or the server cannot hold it as it is,
    /// or where it would grow by more than a quarter.
    Doc& json(std::string_view name, const boost::json::value& value);
    /// One field as it stands in another document, under another name.
    Doc& same(std::string_view name, const bson_iter_t& field);

    const bson_t* raw() const { return raw_; }
    bson_t* raw() { return raw_; }
    std::size_t size() const { return raw_->len; }
    bool empty() const { return bson_empty(raw_); }

private:
    bson_t* raw_;
};

/// The elements of an array being made.
class List {
public:
    List& text(std::string_view value) {
        return add([&](auto name) { doc_.text(name, value); });
    }
    List& integer(std::int32_t value) {
        return add([&](auto name) { doc_.integer(name, value); });
    }
    List& number(std::int64_t value) {
        return add([&](auto name) { doc_.number(name, value); });
    }
    List& doc(const Doc& value) {
        return add([&](auto name) { doc_.doc(name, value); });
    }
    const Doc& made() const { return doc_; }
    std::size_t size() const { return size_; }

private:
    template <class Add>
    List& add(Add&& adding) {
        adding(std::string_view(std::to_string(size_)));
        ++size_;
        return *this;
    }
    Doc doc_;
    std::size_t size_ = 0;
};

/// Looks into a document that somebody else owns. A field that is not there, or is of another type, is
/// nothing.
class View {
public:
    View(const bson_t* doc) : data_(bson_get_data(doc)), size_(doc->len) {}
    View(const Doc& doc) : View(doc.raw()) {}
    View(const std::uint8_t* data, std::uint32_t size) : data_(data), size_(size) {}

    /// One field. A type of its own, since a template's argument forgets the alignment that libbson asks for.
    struct Field {
        bson_iter_t at;
    };
    std::optional<Field> find(std::string_view name) const;
    bool has(std::string_view name) const { return find(name).has_value(); }
    std::optional<std::string> text(std::string_view name) const;
    std::string text_or(std::string_view name) const { return text(name).value_or(std::string()); }
    /// A whole number, however it is stored.
    std::optional<std::int64_t> number(std::string_view name) const;
    std::optional<double> real(std::string_view name) const;
    std::optional<bool> flag(std::string_view name) const;
    std::optional<Time> time(std::string_view name) const;
    std::optional<View> doc(std::string_view name) const;
    std::optional<View> list(std::string_view name) const;
    /// What Doc::json wrote.
    std::optional<boost::json::value> json(std::string_view name) const;

    /// Calls `use` with each field.
    template <class Use>
    void each(Use&& use) const {
        bson_iter_t field;
        if (!bson_iter_init_from_data(&field, data_, size_)) return;
        while (bson_iter_next(&field)) use(field);
    }
    /// Calls `use` with each element of a list that is a document.
    template <class Use>
    void each_doc(Use&& use) const {
        each([&](const bson_iter_t& field) {
            if (const auto inner = as_doc(field)) use(*inner);
        });
    }
    Doc copy() const;

    static std::optional<View> as_doc(const bson_iter_t& field);
    static std::optional<std::string> as_text(const bson_iter_t& field);
    static boost::json::value as_json(const bson_iter_t& field);

private:
    const std::uint8_t* data_;
    std::uint32_t size_;
};

}  // namespace jobruntime::mongo
