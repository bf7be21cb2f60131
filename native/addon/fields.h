// The fields of a table of numbers, as a list: read from an object of JavaScript by their names. What values
// a field may have is the table's own to say (its check()).
#pragma once

#include <napi.h>

#include <array>
#include <string>
#include <variant>
#include <vector>

#include "addon/convert.h"

namespace tendon::addon {

// A field that is one of several words, numbered from 0.
template <class Table>
struct Choice {
  std::array<const char*, 4> words;  // null behind the last
  void (*set)(Table&, int);
};

template <class Table>
struct Field {
  const char* name;
  std::variant<int Table::*, float Table::*, double Table::*, bool Table::*, std::vector<float> Table::*,
               Choice<Table>>
      to;
};

template <class Table>
void read_field(const Field<Table>& field, const Napi::Value& value, Table& table) {
  const auto read = [&](auto to) {
    using To = decltype(to);
    if constexpr (std::is_same_v<To, int Table::*>) {
      table.*to = static_cast<int>(integer_of(value, field.name, 0, 1 << 20));
    } else if constexpr (std::is_same_v<To, float Table::*>) {
      table.*to = static_cast<float>(number_of(value, field.name));
    } else if constexpr (std::is_same_v<To, double Table::*>) {
      table.*to = number_of(value, field.name);
    } else if constexpr (std::is_same_v<To, bool Table::*>) {
      if (!value.IsBoolean())
        throw BuildError("input_invalid", std::string(field.name) + ": expected true or false");
      table.*to = value.ToBoolean();
    } else if constexpr (std::is_same_v<To, std::vector<float> Table::*>) {
      table.*to = floats_of(value, field.name);
    } else {
      const std::string word = text_of(value, field.name);
      std::string all;
      int i = 0;
      for (const char* known : to.words) {
        if (known == nullptr) break;
        if (word == known) return to.set(table, i);
        all += (i++ == 0 ? "" : ", ") + std::string(known);
      }
      throw BuildError("config_invalid",
                       std::string(field.name) + ": expected one of " + all + ", got " + word);
    }
  };
  std::visit(read, field.to);
}

// What is undefined stays as the table has it. Throws BuildError for what is wrong or not within the table's
// rules.
template <class Table, size_t count>
Table table_of(const Napi::Value& value, const Field<Table> (&fields)[count], const char* what) {
  if (!value.IsObject())
    throw BuildError("input_invalid", std::string(what) + ": expected an object of its fields");
  const auto given = value.As<Napi::Object>();
  Table table;
  for (const Field<Table>& field : fields)
    if (const Napi::Value v = property(given, field.name); !v.IsUndefined()) read_field(field, v, table);
  table.check();
  return table;
}

// Their names, for whoever types such an object.
template <class Table, size_t count>
Napi::Array names_of(Napi::Env env, const Field<Table> (&fields)[count]) {
  Napi::Array names = Napi::Array::New(env, count);
  for (size_t i = 0; i < count; ++i) names.Set(static_cast<uint32_t>(i), fields[i].name);
  return names;
}

}  // namespace tendon::addon
