//! Pipelines, commands and operands.

use super::super::node::{Command, Number, Operand, OperandKind, Pipe};
use super::super::strconv::{quote_text, unquote};
use super::super::token::{Item, Kind};
use super::{Parser, Result};

impl<'a> Parser<'a> {
    pub(super) fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipe> {
        let first = self.peek_non_space();
        let mut pipe = Pipe { pos: first.pos, assign: false, decl: Vec::new(), commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            let item = self.next_non_space();
            match item.kind {
                kind if kind == end => {
                    self.check_pipeline(&pipe, context)?;
                    return Ok(pipe);
                }
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    self.backup();
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(&item, context),
            }
        }
    }

    /// The variables that a pipeline sets, if it does.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<()> {
        loop {
            let variable = self.peek_non_space();
            if variable.kind != Kind::Variable {
                return Ok(());
            }
            self.next();
            // Space is a token: only after it is it known whether the variable is set or used.
            let after = self.peek();
            let next = self.peek_non_space();
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    pipe.assign = next.kind == Kind::Assign;
                    self.next_non_space();
                    self.declare(pipe, &variable);
                    return Ok(());
                }
                Kind::Char if next.text == "," => {
                    self.next_non_space();
                    self.declare(pipe, &variable);
                    if context == "range" && pipe.decl.len() < 2 {
                        match self.peek_non_space().kind {
                            Kind::Variable | Kind::RightDelim | Kind::RightParen => continue,
                            _ => return self.error("range can only initialize variables"),
                        }
                    }
                    return self.error(format_args!("too many declarations in {context}"));
                }
                _ if after.kind == Kind::Space => self.backup3(variable, after),
                _ => self.backup2(variable),
            }
            return Ok(());
        }
    }

    fn declare(&mut self, pipe: &mut Pipe, variable: &Item<'a>) {
        // A declared name cannot have fields: the scanner ends it at the dot.
        pipe.decl.push(variable.text.to_string());
        self.state.vars.push(variable.text.to_string());
    }

    fn check_pipeline(&self, pipe: &Pipe, context: &str) -> Result<()> {
        if pipe.commands.is_empty() {
            return self.error(format_args!("missing value for {context}"));
        }
        for (i, command) in pipe.commands.iter().enumerate().skip(1) {
            if command.args.first().is_some_and(Operand::is_constant) {
                return self.error(format_args!("non executable command in pipeline stage {}", i + 1));
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Result<Command> {
        let mut command = Command { pos: self.peek_non_space().pos, args: Vec::new() };
        loop {
            self.peek_non_space();
            if let Some(operand) = self.operand()? {
                command.args.push(operand);
            }
            let item = self.next();
            match item.kind {
                Kind::Space => continue,
                Kind::RightDelim | Kind::RightParen => self.backup(),
                Kind::Pipe => {}
                _ => return self.unexpected(&item, "operand"),
            }
            break;
        }
        if command.args.is_empty() { self.error("empty command") } else { Ok(command) }
    }

    fn operand(&mut self) -> Result<Option<Operand>> {
        let Some(operand) = self.term()? else { return Ok(None) };
        let first = self.peek();
        if first.kind != Kind::Field {
            return Ok(Some(operand));
        }
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(self.next().text[1..].to_owned());
        }
        let kind = match operand.kind {
            OperandKind::Field(mut names) => {
                names.append(&mut fields);
                OperandKind::Field(names)
            }
            OperandKind::Variable(mut names) => {
                names.append(&mut fields);
                OperandKind::Variable(names)
            }
            _ if operand.is_constant() => {
                let text = quote_text(&operand.to_string());
                return self.error(format_args!("unexpected . after term {text}"));
            }
            _ => OperandKind::Chain { operand: Box::new(operand), fields },
        };
        Ok(Some(Operand { pos: first.pos, kind }))
    }

    fn term(&mut self) -> Result<Option<Operand>> {
        let item = self.next_non_space();
        let kind = match item.kind {
            Kind::Identifier if !(self.has_function)(&item.text) => {
                return self.error(format_args!("function {} not defined", quote_text(&item.text)));
            }
            Kind::Identifier => OperandKind::Identifier(item.text.as_ref().into()),
            Kind::Dot => OperandKind::Dot,
            Kind::Nil => OperandKind::Nil,
            Kind::Variable => {
                if !self.state.vars.iter().any(|name| *name == item.text) {
                    return self.error(format_args!("undefined variable {}", quote_text(&item.text)));
                }
                OperandKind::Variable(vec![item.text.to_string()])
            }
            Kind::Field => OperandKind::Field(vec![item.text[1..].to_owned()]),
            Kind::Bool => OperandKind::Bool(item.text == "true"),
            Kind::CharConstant => OperandKind::Number(Box::new(self.number(Number::character(&item.text))?)),
            Kind::Complex => OperandKind::Number(Box::new(self.number(Number::complex(&item.text))?)),
            Kind::Number => OperandKind::Number(Box::new(self.number(Number::parse(&item.text))?)),
            Kind::LeftParen => {
                let pipe = self.nested(|p| p.pipeline("parenthesized pipeline", Kind::RightParen))?;
                return Ok(Some(Operand { pos: pipe.pos, kind: OperandKind::Pipe(Box::new(pipe)) }));
            }
            Kind::String | Kind::RawString => match unquote(&item.text) {
                Some(text) => OperandKind::String { quoted: item.text.as_ref().into(), text: text.into() },
                None => return self.error("invalid syntax"),
            },
            _ => {
                self.backup();
                return Ok(None);
            }
        };
        Ok(Some(Operand { pos: item.pos, kind }))
    }

    fn number(&self, number: std::result::Result<Number, String>) -> Result<Number> {
        number.or_else(|text| self.error(text))
    }
}
