#include <CLI/CLI.hpp>
#include <cstdio>
#include <sstream>

#include "base/version.h"
#include "cli/app.h"

namespace defectoscope {
namespace {

/// Text as roff takes it: backslashes, hyphens and leading dots spelled out.
std::string roff(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    if (c == '\\')
      safe += "\\e";
    else if (c == '-')
      safe += "\\-";
    else if ((c == '.' || c == '\'') && (safe.empty() || safe.back() == '\n'))
      safe += std::string("\\&") + c;
    else
      safe += c;
  }
  return safe;
}

void write_options(const CLI::App& app, std::ostringstream& out) {
  for (const CLI::Option* option : app.get_options()) {
    out << ".TP\n\\fB" << roff(option->get_name(option->get_positional(), true)) << "\\fR";
    if (option->get_items_expected_max() > 0 && !option->get_positional())
      out << " \\fI" << roff(option->get_type_name()) << "\\fR";
    out << "\n" << roff(option->get_description());
    if (!option->get_default_str().empty()) out << " Default: " << roff(option->get_default_str()) << ".";
    out << "\n";
  }
}

/// A section, for a command of a command a part of it.
void write_command(const CLI::App& command, const char* heading, const std::string& name,
                   std::ostringstream& out) {
  out << heading << " " << roff(name) << "\n" << roff(command.get_description()) << "\n";
  write_options(command, out);
  for (const CLI::App* inner : command.get_subcommands({}))
    write_command(*inner, ".SS", name + " " + inner->get_name(), out);
  if (!command.get_footer().empty()) out << ".PP\n" << roff(command.get_footer()) << "\n";
}

}  // namespace

void add_man(CLI::App& app) {
  CLI::App* command = app.add_subcommand("man", "Print the manual page (troff)");
  command->group("");
  command->callback([] {
    const auto all = make_app();
    std::ostringstream out;
    out << ".TH DEFECTOSCOPE 1 \"\" \"defectoscope " << kVersion
        << "\" \"User Commands\"\n.SH NAME\ndefectoscope \\- "
        << "find the singular defects of large language models\n.SH SYNOPSIS\n.B "
           "defectoscope\n\\fISUBCOMMAND\\fR "
        << "[\\fIOPTIONS\\fR]\n.SH DESCRIPTION\n"
        << roff(all->get_description()) << "\n";
    for (const CLI::App* sub :
         all->get_subcommands([](const CLI::App* s) { return !s->get_group().empty(); }))
      write_command(*sub, ".SH", sub->get_name(), out);
    out << ".SH EXIT STATUS\n" << roff(all->get_footer()) << "\n";
    std::fputs(out.str().c_str(), stdout);
  });
}

}  // namespace defectoscope
