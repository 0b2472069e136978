#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <sstream>

#include "cli/app.h"

namespace defectoscope {
namespace {

struct Flag {
  std::string name;  // "--text"
  std::string help;
  bool takes_value;
  bool is_file;
  std::vector<std::string> choices;
};

/// A command's own, then those of its commands, each once.
std::vector<Flag> flags_of(const CLI::App& app) {
  std::vector<Flag> flags;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      const std::string type = option->get_type_name();
      std::vector<std::string> choices;
      // CLI::IsMember types itself "{a,b}" (with a type before it where there is one).
      const auto open = type.find('{');
      const auto close = type.rfind('}');
      if (open != std::string::npos && close != std::string::npos) {
        std::istringstream list(type.substr(open + 1, close - open - 1));
        for (std::string choice; std::getline(list, choice, ',');) choices.push_back(choice);
      }
      const bool is_file = type == "FILE" || type == "DIR" || type == "PATH";
      flags.push_back(
          {"--" + name, option->get_description(), option->get_items_expected_max() > 0, is_file, choices});
    }
  }
  for (const CLI::App* inner : app.get_subcommands({}))
    for (const Flag& flag : flags_of(*inner))
      if (std::ranges::find(flags, flag.name, &Flag::name) == flags.end()) flags.push_back(flag);
  return flags;
}

std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* command) { return !command->get_group().empty(); });
}

/// Names of a command's commands.
std::vector<std::string> inner_commands(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* inner : command.get_subcommands({})) names.push_back(inner->get_name());
  return names;
}

std::string bash_completion(const CLI::App& app) {
  std::ostringstream out;
  out << "# bash completion for defectoscope\n"
         "_defectoscope() {\n"
         "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} "
         "command=${COMP_WORDS[1]}\n"
         "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n    COMPREPLY=($(compgen -W \"";
  for (const CLI::App* command : commands_of(app)) out << command->get_name() << ' ';
  out << "--help --version\" -- \"$word\"))\n    return\n  fi\n  case \"$command $before\" in\n";
  for (const CLI::App* command : commands_of(app))
    for (const Flag& flag : flags_of(*command)) {
      if (!flag.choices.empty())
        out << "    \"" << command->get_name() << ' ' << flag.name << "\") COMPREPLY=($(compgen -W \""
            << join(flag.choices) << "\" -- \"$word\")); return ;;\n";
      else if (flag.takes_value && !flag.is_file)
        out << "    \"" << command->get_name() << ' ' << flag.name << "\") return ;;\n";
    }
  out << "  esac\n  case \"$command\" in\n";
  for (const CLI::App* command : commands_of(app)) {
    out << "    " << command->get_name() << ") ";
    if (const auto inner = inner_commands(*command); !inner.empty())
      out << "[ \"$COMP_CWORD\" -eq 2 ] && COMPREPLY=($(compgen -W \"" << join(inner)
          << " --help\" -- \"$word\")) && return; ";
    out << "[[ $word == -* ]] && COMPREPLY=($(compgen -W \"";
    for (const Flag& flag : flags_of(*command)) out << flag.name << ' ';
    out << "\" -- \"$word\")) ;;\n";
  }
  out << "  esac\n}\ncomplete -o default -F _defectoscope defectoscope\n";
  return out.str();
}

/// Text inside single quotes, without the characters zsh's _arguments reads as syntax.
std::string quoted(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    if (c == '\'')
      safe += "'\\''";
    else if (c == '[' || c == ']' || c == ':')
      safe += std::string("\\") + c;
    else
      safe += c;
  }
  return safe;
}

std::string zsh_completion(const CLI::App& app) {
  std::ostringstream out;
  out << "#compdef defectoscope\nlocal -a commands\ncommands=(\n";
  for (const CLI::App* command : commands_of(app))
    out << "  '" << command->get_name() << ":" << quoted(command->get_description()) << "'\n";
  out << ")\nif (( CURRENT == 2 )); then\n  _describe command commands\n  return\nfi\ncase $words[2] in\n";
  for (const CLI::App* command : commands_of(app)) {
    out << "  " << command->get_name() << ") shift words; (( CURRENT-- )); _arguments";
    for (const Flag& flag : flags_of(*command)) {
      out << " \\\n    '" << flag.name << "[" << quoted(flag.help) << "]";
      if (!flag.choices.empty())
        out << ":value:(" << join(flag.choices) << ")";
      else if (flag.takes_value)
        out << (flag.is_file ? ":file:_files" : ":value: ");
      out << "'";
    }
    if (const auto inner = inner_commands(*command); !inner.empty())
      out << " \\\n    '1:command:(" << join(inner) << ")'";
    out << " \\\n    '*:model:_files' ;;\n";
  }
  out << "esac\n";
  return out.str();
}

std::string fish_completion(const CLI::App& app) {
  const auto fish_quoted = [](const std::string& text) {
    std::string safe;
    for (const char c : text) safe += (c == '\'' || c == '\\') ? std::string("\\") + c : std::string(1, c);
    return safe;
  };
  std::ostringstream out;
  for (const CLI::App* command : commands_of(app)) {
    out << "complete -c defectoscope -n __fish_use_subcommand -a " << command->get_name() << " -d '"
        << fish_quoted(command->get_description()) << "'\n";
    if (const auto inner = inner_commands(*command); !inner.empty())
      out << "complete -c defectoscope -n '__fish_seen_subcommand_from " << command->get_name() << "' -a '"
          << join(inner) << "'\n";
    for (const Flag& flag : flags_of(*command)) {
      out << "complete -c defectoscope -n '__fish_seen_subcommand_from " << command->get_name() << "' -l "
          << flag.name.substr(2) << (flag.takes_value ? " -r" : "");
      if (!flag.choices.empty()) out << " -f -a '" << join(flag.choices) << "'";
      out << " -d '" << fish_quoted(flag.help) << "'\n";
    }
  }
  return out.str();
}

}  // namespace

void add_completion(CLI::App& app) {
  CLI::App* command = app.add_subcommand("completion", "Print a completion script for a shell");
  auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "The shell to write for")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->footer(
      "bash: source <(defectoscope completion bash)\nfish: defectoscope completion fish | source");
  command->callback([shell] {
    const auto all = make_app();
    const std::string script = *shell == "bash"  ? bash_completion(*all)
                               : *shell == "zsh" ? zsh_completion(*all)
                                                 : fish_completion(*all);
    std::fputs(script.c_str(), stdout);
  });
}

}  // namespace defectoscope
